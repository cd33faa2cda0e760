"""The keys of the recorded chains' traders: accounts of one public mnemonic, so that a test can sign as each of them."""

from functools import cache

from perpcomp.installed import same_recursion_limit

with same_recursion_limit():
    from eth_account import Account
    from eth_account.signers.local import LocalAccount

MNEMONIC = "candy maple cake sugar pudding cream honey rich smooth crumble sweet treat"  # of every chain in tests/chain


@cache
def signers() -> dict[str, LocalAccount]:
    """Account -> its key."""
    Account.enable_unaudited_hdwallet_features()
    found = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{n}") for n in range(60)]
    return {one.address.lower(): one for one in found}
