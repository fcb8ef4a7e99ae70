"""An owner's rules before they are law: written as calls for a wallet to sign, and looked through for what is wrong."""
