// Package proof is the format of the audit trail and the judgement of it: canonical
// entries, Merkle trees, checkpoints, certificates, orders, proofs and exports.
package proof
