"""SIP-2005's rules: the text and the deployed code."""
