//! The completion of an address: a host where it is missing, a domain where the host has none.

use super::{Domains, InjectError};
use crate::mailbox::message::address::list::{Address, Piece, route_len};
use crate::mailbox::message::address::token::{Token, TokenKind, Tokens};
use crate::mailbox::message::address::{Compat, FaultKind};

/// Completes addresses with [`Domains`], which are already parsed.
#[derive(Debug)]
pub(super) struct Rewriter<'a> {
    default_host: Vec<Token<'a>>,
    default_domain: Vec<Token<'a>>,
    plus_domain: Vec<Token<'a>>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(domains: &'a Domains) -> Result<Rewriter<'a>, InjectError> {
        let parse = |text: &'a [u8], sign: TokenKind<'a>| match Tokens::read(text, Compat::Strict) {
            _ if text.iter().any(u8::is_ascii_control) => Err(invalid(text, FaultKind::Control)),
            Ok(host) => {
                let sign = Token { at: 0, spaced: false, kind: sign };
                Ok([sign].into_iter().chain(host.iter()).collect())
            }
            Err(fault) => Err(invalid(text, fault.kind)),
        };
        let parse_domain = |domain: &'a Option<Vec<u8>>| match domain {
            Some(text) => parse(text, TokenKind::Dot),
            None => Ok(Vec::new()),
        };
        Ok(Rewriter {
            default_host: parse(&domains.default_host, TokenKind::At)?,
            default_domain: parse_domain(&domains.default_domain)?,
            plus_domain: parse_domain(&domains.plus_domain)?,
        })
    }

    /// Completes an address in the steps of qmail-header(5), and reports whether it has changed. `<>` and `x@[]`,
    /// qmail's special senders, are left alone.
    pub(super) fn rewrite<'t>(&self, address: &mut Address<'t>) -> bool
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
        let mut append = |tokens: &mut Vec<Token<'t>>, suffix: &[Token<'t>]| {
            tokens.extend_from_slice(suffix);
            changed |= !suffix.is_empty();
        };
        if !tokens.iter().any(|token| token.kind == TokenKind::At) {
            append(tokens, &self.default_host);
        }
        if let Some(Token { kind: TokenKind::Atom(text), .. }) = tokens.last_mut()
            && text.ends_with(b"+")
            && !self.plus_domain.is_empty()
        {
            text.to_mut().pop();
            append(tokens, &self.plus_domain);
        }
        let mut host = tokens.iter().rev().take_while(|token| token.kind != TokenKind::At);
        if !host.any(|token| matches!(token.kind, TokenKind::Dot | TokenKind::Literal(_))) {
            append(tokens, &self.default_domain);
        }
        changed
    }

    /// Completes a piece of a list if it is an address.
    pub(super) fn complete_piece<'t>(&self, mut piece: Piece<'t>) -> Piece<'t>
    where
        'a: 't,
    {
        if let Piece::Address(address) = &mut piece {
            self.rewrite(address);
        }
        piece
    }
}

fn invalid(text: &[u8], kind: FaultKind) -> InjectError {
    InjectError::Setting { text: text.to_vec(), why: kind.to_string() }
}
