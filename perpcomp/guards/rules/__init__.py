"""SIP-2005's rules on Synthetix Perps V2: its text and the deployed code, checked against recorded answers of the contracts."""
