//! The style of the pages, and the policy that lets a browser apply it and nothing else.

/// The style. It is embedded in each page.
pub(super) const STYLE: &str = include_str!("style.css");

/// The Content-Security-Policy. The hash is the SHA-256 of [`STYLE`] in base64; a test computes it.
pub(super) const POLICY: &str = "default-src 'none'; style-src \
    'sha256-+Ch3JUwyLveHMA/ajtFXNLS7zHKHBdaAsiy9FLInXBg='; base-uri 'none'; form-action 'none'";
