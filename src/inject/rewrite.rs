//! An address is completed: a host where there is none, a domain where the host has none.

use super::Refused;
use crate::mailbox::message::address::list::{Address, Piece, route_len};
use crate::mailbox::message::address::token::{Token, TokenKind, Tokens};
use crate::mailbox::message::address::{Compat, FaultKind};

/// What addresses are completed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains {
    /// Behind a local part without a host.
    pub default_host: Vec<u8>,
    /// Behind a host without a dot. None: it stays as it is.
    pub default_domain: Option<Vec<u8>>,
    /// In place of a `+` at the end of a host.
    pub plus_domain: Option<Vec<u8>>,
    /// Behind the `@` of a Message-ID.
    pub id_host: Vec<u8>,
}

impl Domains {
    /// Refuses what is no host: with it every address without one would become another.
    pub fn check(&self) -> Result<(), Refused> {
        let none = Vec::new();
        let is_literal = |host: &[u8]| host.starts_with(b"[") && host.ends_with(b"]");
        let is_label = |label: &[u8]| {
            !label.is_empty()
                && label.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b) || !b.is_ascii())
        };
        let settings = [
            (&self.default_host, "the default host (QMAILDEFAULTHOST, or control/defaulthost or me)"),
            (
                self.default_domain.as_ref().unwrap_or(&none),
                "the default domain (QMAILDEFAULTDOMAIN, or control/defaultdomain or me)",
            ),
            (
                self.plus_domain.as_ref().unwrap_or(&none),
                "the plus domain (QMAILPLUSDOMAIN, or control/plusdomain or me)",
            ),
        ];
        for (n, (host, what)) in settings.into_iter().enumerate() {
            // A domain may be none.
            let is_said = n == 0 || [&self.default_domain, &self.plus_domain][n - 1].is_some();
            // A host may end in the sign for the plus domain.
            let plain = host.strip_suffix(b"+").unwrap_or(host);
            if is_said && !is_literal(host) && !plain.split(|&b| b == b'.').all(is_label) {
                return Err(Refused::Setting { text: host.clone(), why: format!("{what} is no host") });
            }
        }
        Ok(())
    }
}

/// The same, as tokens.
#[derive(Debug)]
pub struct Rewriter<'a> {
    default_host: Vec<Token<'a>>,
    default_domain: Vec<Token<'a>>,
    plus_domain: Vec<Token<'a>>,
}

impl<'a> Rewriter<'a> {
    /// Reads the domains.
    pub fn new(domains: &'a Domains) -> Result<Rewriter<'a>, Refused> {
        let read = |text: &'a [u8], sign: TokenKind<'a>| match Tokens::read(text, Compat::Strict) {
            _ if text.iter().any(u8::is_ascii_control) => Err(bad(text, FaultKind::Control)),
            Ok(host) => {
                let sign = Token { at: 0, spaced: false, kind: sign };
                Ok([sign].into_iter().chain(host.iter()).collect())
            }
            Err(fault) => Err(bad(text, fault.kind)),
        };
        let read_or_none = |domain: &'a Option<Vec<u8>>| match domain {
            Some(text) => read(text, TokenKind::Dot),
            None => Ok(Vec::new()),
        };
        Ok(Rewriter {
            default_host: read(&domains.default_host, TokenKind::At)?,
            default_domain: read_or_none(&domains.default_domain)?,
            plus_domain: read_or_none(&domains.plus_domain)?,
        })
    }

    /// Completes an address, in the steps of qmail-header(5), and says whether it is another one now. `<>` and
    /// `x@[]` (qmail's own senders) are left alone.
    pub fn rewrite<'t>(&self, address: &mut Address<'t>) -> bool
    where
        'a: 't,
    {
        let tokens = &mut address.tokens;
        if let [.., at, last] = &tokens[..]
            && at.kind == TokenKind::At
            && last.kind == TokenKind::Literal(b"".into())
        {
            return false;
        }
        let route = route_len(tokens);
        tokens.drain(..route);
        let mut changed = route > 0;
        for sign in [TokenKind::Dot, TokenKind::At] {
            changed |= tokens.pop_if(|last| last.kind == sign).is_some();
        }
        if tokens.is_empty() {
            return changed;
        }
        let mut complete = |tokens: &mut Vec<Token<'t>>, with: &[Token<'t>]| {
            tokens.extend_from_slice(with);
            changed |= !with.is_empty();
        };
        if !tokens.iter().any(|token| token.kind == TokenKind::At) {
            complete(tokens, &self.default_host);
        }
        if let Some(Token { kind: TokenKind::Atom(text), .. }) = tokens.last_mut()
            && text.ends_with(b"+")
            && !self.plus_domain.is_empty()
        {
            text.to_mut().pop();
            complete(tokens, &self.plus_domain);
        }
        let host = tokens.iter().rev().take_while(|token| token.kind != TokenKind::At);
        if !{ host }.any(|token| matches!(token.kind, TokenKind::Dot | TokenKind::Literal(_))) {
            complete(tokens, &self.default_domain);
        }
        changed
    }

    /// A part of a list; completed, if it is an address.
    pub fn completed<'t>(&self, mut piece: Piece<'t>) -> Piece<'t>
    where
        'a: 't,
    {
        if let Piece::Address(address) = &mut piece {
            self.rewrite(address);
        }
        piece
    }
}

fn bad(text: &[u8], trouble: FaultKind) -> Refused {
    Refused::Setting { text: text.to_vec(), why: trouble.to_string() }
}
