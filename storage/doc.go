// Package storage keeps the state of an authorization server.
//
// Two layers meet here. Backend is the contract of a database: records with
// revisions, batches with preconditions, nothing of OAuth. Store stands on any
// Backend and does everything else once: it seals values, hides expired records,
// gathers the writes of one protocol request into a unit of work and commits them
// in one batch.
//
// The domain types (Client, Grant, AccessToken, Session, Consent) are plain structs.
// A host that wants a durable place for its own records uses a Collection.
package storage
