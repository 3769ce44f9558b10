//! Who signed an artifact, as far as the trailer says so. Whether it is true only a key can tell.

use lucet_artifact::trailer::Trailer;

/// What a signature says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Id of the key: 16 hexadecimal digits, as minisign prints it.
    pub key: String,
    /// The trusted comment.
    pub comment: String,
}

/// What the signature says, if there is one.
pub fn signer(trailer: &Trailer) -> Option<Signer> {
    let signature = trailer.signature.as_ref()?;
    Some(Signer { key: signature.key().to_string(), comment: signature.comment().to_owned() })
}
