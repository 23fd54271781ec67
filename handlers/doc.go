// Package handlers holds what a host touches of the authorization server, and the
// endpoints themselves, one file each.
//
// A host gives the server hooks. They have three shapes: Login and Consent decide
// and complete an Interaction explicitly; Claims shapes what tokens say and may
// veto; an Event handler observes what is already durable. No hook runs while a
// commit is open.
package handlers
