// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Governor} from "openzeppelin-contracts-5/governance/Governor.sol";
import {GovernorCountingSimple} from "openzeppelin-contracts-5/governance/extensions/GovernorCountingSimple.sol";
import {GovernorVotes} from "openzeppelin-contracts-5/governance/extensions/GovernorVotes.sol";
import {IVotes} from "openzeppelin-contracts-5/governance/utils/IVotes.sol";
import {ERC20} from "openzeppelin-contracts-5/token/ERC20/ERC20.sol";
import {EIP712} from "openzeppelin-contracts-5/utils/cryptography/EIP712.sol";
import {ERC20Votes} from "openzeppelin-contracts-5/token/ERC20/extensions/ERC20Votes.sol";

/// A token whose holder votes.
contract Votes is ERC20Votes {
    constructor() ERC20("Votes", "VOTE") EIP712("Votes", "1") {
        _mint(msg.sender, 1e24);
        _delegate(msg.sender, msg.sender);
    }
}

/// OpenZeppelin's Governor as its documentation assembles it, without a timelock: it holds the funds itself.
contract Treasury is Governor, GovernorCountingSimple, GovernorVotes {
    constructor(IVotes token) Governor("Treasury") GovernorVotes(token) {}

    function votingDelay() public pure override returns (uint256) {
        return 1;
    }

    function votingPeriod() public pure override returns (uint256) {
        return 2;
    }

    function quorum(uint256) public pure override returns (uint256) {
        return 1;
    }
}
