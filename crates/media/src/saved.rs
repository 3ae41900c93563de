//! The state of a running take as bytes: what is needed to go on with it, in this process or in another.
//!
//! Each struct is taken apart without a rest, so that a new field cannot be forgotten.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use thiserror::Error;

/// Why a state cannot be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResumeError {
    /// It was written by a version of this program that writes another form.
    #[error("the state is of form {0}")]
    Version(u8),
    /// It is not what was written.
    #[error("the state is damaged")]
    Damaged,
}

/// What can be written down and read again.
pub trait Saved: Sized {
    /// Appends it.
    fn save(&self, out: &mut Vec<u8>);
    /// Reads it, and moves `from` behind it.
    ///
    /// # Errors
    /// [`ResumeError`] when the bytes are not of its form.
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError>;
}

/// Implements [`Saved`] for a struct by its fields, or for an enum by a number per variant.
macro_rules! saved {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::saved::Saved for $name {
            fn save(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::saved::Saved::save($field, out);)*
            }
            fn load(from: &mut &[u8]) -> Result<Self, $crate::saved::ResumeError> {
                $(let $field = $crate::saved::Saved::load(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
    (enum $name:ident { $($variant:ident $(($inner:ty))? = $number:literal),* $(,)? }) => {
        impl $crate::saved::Saved for $name {
            fn save(&self, out: &mut Vec<u8>) {
                match self {
                    $(saved!(@pattern value $variant $($inner)?) => {
                        out.push($number);
                        saved!(@save value out $($inner)?);
                    })*
                }
            }
            fn load(from: &mut &[u8]) -> Result<Self, $crate::saved::ResumeError> {
                match <u8 as $crate::saved::Saved>::load(from)? {
                    $($number => Ok(saved!(@load from $variant $($inner)?)),)*
                    _ => Err($crate::saved::ResumeError::Damaged),
                }
            }
        }
    };
    (@pattern $value:ident $variant:ident) => { Self::$variant };
    (@pattern $value:ident $variant:ident $inner:ty) => { Self::$variant($value) };
    (@save $value:ident $out:ident) => {};
    (@save $value:ident $out:ident $inner:ty) => { $crate::saved::Saved::save($value, $out); };
    (@load $from:ident $variant:ident) => { Self::$variant };
    (@load $from:ident $variant:ident $inner:ty) => { Self::$variant(<$inner as $crate::saved::Saved>::load($from)?) };
}
pub(crate) use saved;

macro_rules! saved_numbers {
    ($($number:ty),*) => {$(
        impl Saved for $number {
            fn save(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
                Ok(Self::from_be_bytes(array(from)?))
            }
        }
    )*};
}
saved_numbers!(u8, u16, u32, u64, i32, i64, f64);

fn array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], ResumeError> {
    let (head, rest) = from.split_first_chunk().ok_or(ResumeError::Damaged)?;
    *from = rest;
    Ok(*head)
}

fn count(from: &mut &[u8]) -> Result<usize, ResumeError> {
    // Nothing takes less than a byte, so that no count makes more room than there are bytes.
    usize::try_from(u64::load(from)?).ok().filter(|count| *count <= from.len()).ok_or(ResumeError::Damaged)
}

fn save_all<'a, T: Saved + 'a>(items: impl ExactSizeIterator<Item = &'a T>, out: &mut Vec<u8>) {
    (items.len() as u64).save(out);
    for item in items {
        item.save(out);
    }
}

fn load_all<T: Saved, C: FromIterator<T>>(from: &mut &[u8]) -> Result<C, ResumeError> {
    (0..count(from)?).map(|_| T::load(from)).collect()
}

impl Saved for bool {
    fn save(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        Ok(u8::load(from)? != 0)
    }
}

impl Saved for usize {
    fn save(&self, out: &mut Vec<u8>) {
        (*self as u64).save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        Self::try_from(u64::load(from)?).map_err(|_| ResumeError::Damaged)
    }
}

impl<const N: usize> Saved for [u8; N] {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        array(from)
    }
}

impl Saved for Bytes {
    fn save(&self, out: &mut Vec<u8>) {
        (self.len() as u64).save(out);
        out.extend_from_slice(self);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        let length = count(from)?;
        let (bytes, rest) = from.split_at_checked(length).ok_or(ResumeError::Damaged)?;
        *from = rest;
        Ok(Self::copy_from_slice(bytes))
    }
}

impl<T: Saved> Saved for Option<T> {
    fn save(&self, out: &mut Vec<u8>) {
        self.is_some().save(out);
        if let Some(value) = self {
            value.save(out);
        }
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        bool::load(from)?.then(|| T::load(from)).transpose()
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
        self.1.save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        Ok((A::load(from)?, B::load(from)?))
    }
}

impl<T: Saved> Saved for Arc<T> {
    fn save(&self, out: &mut Vec<u8>) {
        T::save(self, out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        T::load(from).map(Self::new)
    }
}

impl<T: Saved> Saved for Arc<[T]> {
    fn save(&self, out: &mut Vec<u8>) {
        save_all(self.iter(), out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        load_all(from)
    }
}

impl<T: Saved> Saved for Vec<T> {
    fn save(&self, out: &mut Vec<u8>) {
        save_all(self.iter(), out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        load_all(from)
    }
}

impl<T: Saved> Saved for VecDeque<T> {
    fn save(&self, out: &mut Vec<u8>) {
        save_all(self.iter(), out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        load_all(from)
    }
}

impl<K: Saved + Ord, V: Saved> Saved for BTreeMap<K, V> {
    fn save(&self, out: &mut Vec<u8>) {
        (self.len() as u64).save(out);
        for (key, value) in self {
            key.save(out);
            value.save(out);
        }
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        (0..count(from)?).map(|_| <(K, V)>::load(from)).collect()
    }
}
