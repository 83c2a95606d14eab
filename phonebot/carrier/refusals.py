"""What to do about the errors of Twilio's REST API (Twilio, Error and Warning Dictionary)."""

REMEDIES = {
    10004: "the account has too many calls at once: have Twilio raise its limit",
    13214: "the caller id must be a number of the account, or a verified one",
    13224: "the number cannot be called: correct it",
    13227: "allow calls to this country in the account's geographic permissions",
    20003: "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    20005: "the account is not active: see Twilio's console for why",
    20404: "it is gone, or belongs to another account",
    20429: "too many requests: try again in a minute",
    21201: "name the number to call",
    21205: "PHONEBOT_PUBLIC_URL must be an address that Twilio can reach",
    21210: "call from a number of the account, or verify this one",
    21211: "the number to call is none: correct it",
    21212: "the number to call from is none: correct it",
    21213: "name the number to call from",
    21214: "the number cannot be reached: correct it",
    21215: "allow calls to this country in the account's geographic permissions",
    21216: "the account may not call this number: ask Twilio's support why",
    21217: "the number to call is none: correct it",
    21219: "a trial account calls verified numbers only: verify it, or upgrade the account",
    21220: "the call is over, or not there yet",
    21402: "PHONEBOT_PUBLIC_URL must be an address that Twilio can reach",
    32205: "allow calls to this country in the account's geographic permissions",
}


def remedy_for(code: int) -> str:
    """The end of a sentence that names an error; 0 for one without a code."""
    return REMEDIES.get(code, "its error dictionary tells why")
