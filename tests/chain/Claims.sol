// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {MerkleProof} from "openzeppelin-contracts-5/utils/cryptography/MerkleProof.sol";

interface Token {
    function transfer(address to, uint256 value) external returns (bool);
}

/// One claim an account, over a StandardMerkleTree of (address, uint256).
contract StandardClaims {
    Token immutable token;
    bytes32 immutable root;
    mapping(address => bool) public claimed;

    event Claimed(address indexed account, uint256 amount);

    constructor(Token token_, bytes32 root_) {
        (token, root) = (token_, root_);
    }

    function claim(address account, uint256 amount, bytes32[] calldata proof) external {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(account, amount))));
        require(MerkleProof.verifyCalldata(proof, root, leaf), "wrong proof");
        require(!claimed[account], "claimed");
        claimed[account] = true;
        emit Claimed(account, amount);
        token.transfer(account, amount);
    }
}

/// A claim pays what is new of the total so far; a root replaces the one before.
contract CumulativeClaims {
    address immutable owner = msg.sender;
    bytes32 public root;
    mapping(address => mapping(address => uint256)) public claimed;

    event Claimed(address indexed account, address indexed reward, uint256 amount);

    function setRoot(bytes32 newRoot, bytes32) external {
        require(msg.sender == owner && newRoot != root, "not the owner, or the same root");
        root = newRoot;
    }

    function claim(address account, address reward, uint256 claimable, bytes32[] calldata proof) external {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(account, reward, claimable))));
        require(MerkleProof.verifyCalldata(proof, root, leaf), "wrong proof");
        require(claimable > claimed[account][reward], "claimed");
        uint256 due = claimable - claimed[account][reward];
        claimed[account][reward] = claimable;
        emit Claimed(account, reward, due);
        Token(reward).transfer(account, due);
    }
}

/// Several tokens in one claim, by an index that is used once under every root.
contract MultiTokenClaims {
    struct TokenAmount {
        address token;
        uint256 amount;
    }

    address immutable owner = msg.sender;
    bytes32 public merkleRoot;
    mapping(uint256 => bool) public claimed;

    event ClaimedAndAgreed(uint256 indexed index, address indexed account);

    function updateMerkleRoot(bytes32 newMerkleRoot) external {
        require(msg.sender == owner, "not the owner");
        merkleRoot = newMerkleRoot;
    }

    function claim(uint256 index, address account, TokenAmount[] calldata amounts, bytes32[] calldata proof) external {
        require(MerkleProof.verifyCalldata(proof, merkleRoot, keccak256(abi.encode(index, account, amounts))), "wrong proof");
        require(!claimed[index], "claimed");
        claimed[index] = true;
        emit ClaimedAndAgreed(index, account);
        for (uint256 n = 0; n < amounts.length; n++) Token(amounts[n].token).transfer(account, amounts[n].amount);
    }
}
