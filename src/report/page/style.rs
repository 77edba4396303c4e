//! The style of the pages, and the policy that lets a browser apply it and nothing else.

/// The style. It is embedded in each page.
pub(super) const STYLE: &str = include_str!("style.css");

/// The Content-Security-Policy. The hash is the SHA-256 of [`STYLE`] in base64; a test computes it.
pub(super) const POLICY: &str = "default-src 'none'; style-src \
    'sha256-G7XvyRZbZ/96+NmEprhyW/9mqNpxVcgCLz0vjt8yt9M='; base-uri 'none'; form-action 'none'";
