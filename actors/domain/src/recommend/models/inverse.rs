//! The inverse of a large symmetric positive definite matrix, in single precision.
//!
//! Flow: A = L·Lᵀ in place, L⁻¹ beside it, A⁻¹ = L⁻ᵀ·L⁻¹ back into the first. Two matrices are held at most: 2·4·n²
//! bytes, half a gigabyte for 8,000 courses. One thread: the caller decides on which core a training runs, and the order
//! of the sums, hence the result, is always the same on a machine.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Accum, Mat, Par};

/// A square matrix of which only the lower triangle is kept up.
pub(super) struct Symmetric {
    matrix: Mat<f32>,
}

impl Symmetric {
    /// Zeros, `size` by `size`.
    pub(super) fn zeros(size: usize) -> Self {
        Symmetric {
            matrix: Mat::zeros(size, size),
        }
    }

    /// Adds to the entry of `row` and `column`, which are interchangeable.
    pub(super) fn add(&mut self, row: u32, column: u32, amount: f32) {
        self.matrix[(row.max(column) as usize, row.min(column) as usize)] += amount;
    }

    /// The entry of `row` and `column`.
    pub(super) fn of(&self, row: usize, column: usize) -> f32 {
        self.matrix[(row.max(column), row.min(column))]
    }

    /// The entries of one column from its diagonal downward.
    pub(super) fn below(&self, column: usize) -> &[f32] {
        let whole: &[f32] = match self.matrix.col(column).try_as_col_major() {
            Some(column) => column.as_slice(),
            None => &[],
        };
        whole.get(column..).unwrap_or_default()
    }

    /// The inverse; none if the matrix is not positive definite.
    pub(super) fn inverted(mut self) -> Option<Self> {
        let size = self.matrix.nrows();
        let scratch = cholesky_in_place_scratch::<f32>(size, Par::Seq, Default::default());
        let mut buffer = MemBuffer::new(scratch);
        cholesky_in_place(
            self.matrix.as_mut(),
            Default::default(),
            Par::Seq,
            MemStack::new(&mut buffer),
            Default::default(),
        )
        .ok()?;
        let mut factor = Mat::<f32>::zeros(size, size);
        invert_lower_triangular(factor.as_mut(), self.matrix.as_ref(), Par::Seq);
        matmul(
            self.matrix.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Replace,
            factor.transpose(),
            BlockStructure::TriangularUpper,
            factor.as_ref(),
            BlockStructure::TriangularLower,
            1.0,
            Par::Seq,
        );
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let size: u32 = 70;
        let entry = |row: u32, column: u32| {
            let (row, column) = (row.max(column), row.min(column));
            if row == column {
                9.0
            } else {
                ((row * 7 + column * 3) % 11) as f32 / 40.0
            }
        };
        let mut matrix = Symmetric::zeros(size as usize);
        for row in 0..size {
            for column in 0..=row {
                matrix.add(column, row, entry(row, column));
            }
        }

        let inverse = matrix.inverted().unwrap();

        for row in 0..size {
            for column in 0..size {
                let product: f32 = (0..size)
                    .map(|at| entry(row, at) * inverse.of(at as usize, column as usize))
                    .sum();
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-4, "{row} {column} {product}");
            }
        }
        assert_eq!(inverse.below(3)[2], inverse.of(3, 5));
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_inverse_here() {
        let mut matrix = Symmetric::zeros(2);
        matrix.add(0, 0, 1.0);
        matrix.add(0, 1, 2.0);
        matrix.add(1, 1, 1.0);

        assert!(matrix.inverted().is_none());
    }
}
