//! The expressions of the built-in rules. Word boundaries are those of ASCII: they leave the
//! expressions to the regex crate's fast matcher, whatever the text.

/// An image as a data URI.
pub const DATA_IMAGE: &str =
    r"(?i-u:data:image/[a-z0-9.+-]+(?:;[a-z0-9=._-]+)*;base64,[a-z0-9+/=_%-]*)";

/// Any data URI in base64, in which nothing is looked for. Its alphabet is the standard one, so
/// that most keys cannot hide behind such a prefix.
pub const DATA_URI: &str = r"(?i-u:data:[a-z0-9./+-]*(?:;[a-z0-9=._-]+)*;base64,[a-z0-9+/=]*)";

/// Addresses in scripts that have spaces between words; where there are none, an address ends with
/// its Latin letters.
pub const EMAIL: &str = concat!(
    r"[\p{Latin}\p{Greek}\p{Cyrillic}0-9._%+'-]+",
    r"@(?:[\p{Latin}\p{Greek}\p{Cyrillic}0-9-]+\.)+",
    r"(?:xn--[a-zA-Z0-9-]+|[\p{Latin}\p{Greek}\p{Cyrillic}]{2,})",
);

/// Keys that their issuers made to be recognised, by prefix and length: OpenAI, Anthropic and
/// others with `sk-`; Stripe; GitHub; GitLab; AWS; Google; Slack; Hugging Face; npm; PyPI;
/// DigitalOcean; SendGrid; Groq; xAI; Replicate; Perplexity; Tavily; Shopify; Linear; `token_mgmt`.
pub const API_KEY: &str = concat!(
    r"(?-u:\b)(?:sk-[A-Za-z0-9_-]{20,}",
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,}",
    r"|gh[opusr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}",
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)|AIza[A-Za-z0-9_-]{35,}",
    r"|AQ\.Ab8R[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}",
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}|hf_[A-Za-z0-9]{30,}",
    r"|npm_[A-Za-z0-9]{36,}|pypi-[A-Za-z0-9_-]{50,}|do[opr]_v1_[a-f0-9]{64}",
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{40,}",
    r"|r8_[A-Za-z0-9]{30,}|pplx-[A-Za-z0-9]{40,}|tvly-[A-Za-z0-9_-]{20,}",
    r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_api_[A-Za-z0-9]{32,}|tmk_[A-Za-z0-9_-]{43,})",
);

/// The token of an Authorization header, of any length; one behind the word "bearer" that is long
/// enough not to be a word; a JSON Web Token anywhere. The token is a group.
pub const BEARER_TOKEN: &str = concat!(
    r#"(?i-u:\bauthorization["'\\]*[ \t]*[:=][ \t]*["'\\]*bearer[ \t]+([a-z0-9._~+/=-]{4,}))"#,
    r"|(?i-u:\bbearer[ \t]+([a-z0-9._~+/=-]{16,}))",
    r"|(?-u:\b)(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
);
