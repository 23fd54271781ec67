package server

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"

	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/redirect"
	"github.com/doorward/doorward/storage"
)

// maxSector is how many bytes the document at a sector_identifier_uri may have.
const maxSector = 256 << 10

// judgeSubjects notes what is wrong with the kind of subject that a client is told.
// OpenID Connect Core §8.1
func judgeSubjects(c *storage.Client, found *problems) {
	if c.SectorIdentifierURI != "" && outbound.CheckURL(c.SectorIdentifierURI) != nil {
		found.add("sector_identifier_uri", quoted(c.SectorIdentifierURI), "write an https URL without user, password and fragment")
		return
	}
	switch c.SubjectType {
	case "", storage.SubjectPublic:
		return
	case storage.SubjectPairwise:
	default:
		found.add("subject_type", quoted(string(c.SubjectType)), "write public or pairwise")
		return
	}
	const listed = "an https URL whose document lists all redirect_uris"
	switch {
	case c.SectorIdentifierURI != "":
	case len(c.RedirectURIs) == 0:
		found.add("sector_identifier_uri", "nothing, of a pairwise client without redirect_uris", "write an https URL of the host that the subjects are for")
	case slices.ContainsFunc(c.RedirectURIs, onDevice):
		// Every program of every device would be in one sector, or in none.
		found.add("sector_identifier_uri", "nothing, of a pairwise client that returns to a person's device", "write "+listed)
	case c.Sector() == "":
		found.add("sector_identifier_uri", "nothing, of a pairwise client whose redirect_uris are on several hosts", "write "+listed)
	}
}

// onDevice says that a redirect URI has no host that could be a sector.
func onDevice(uri string) bool {
	u, err := url.Parse(uri)
	return err != nil || u.Hostname() == "" || loopback(u.Hostname()) || redirect.KindOf(uri) == redirect.PrivateUse
}

// asksSector says whether a client's sector has to be asked about it.
func asksSector(client, was *storage.Client) bool {
	return client.SectorIdentifierURI != "" && (was == nil || was.SectorIdentifierURI != client.SectorIdentifierURI ||
		slices.ContainsFunc(client.RedirectURIs, func(uri string) bool { return !slices.Contains(was.RedirectURIs, uri) }))
}

// sectorAway is the problem of a sector that did not answer, which says nothing of the client.
type sectorAway struct{ problem error }

func (s *sectorAway) Error() string { return s.problem.Error() }
func (s *sectorAway) Unwrap() error { return s.problem }

// checkSector fetches the document at the client's sector_identifier_uri. It must list
// every redirect URI, or a client could take its place in the sector of others and
// learn whom it shares with them. was is the client as it is stored, nil for a new one:
// what has not changed is not asked for again. OpenID Connect Core §8.1
func (c *Clients) checkSector(ctx context.Context, client, was *storage.Client) error {
	if !asksSector(client, was) {
		return nil
	}
	found := &problems{}
	at := "a URL, " + quoted(client.SectorIdentifierURI) + ", "
	document, err := c.fetch.Get(ctx, outbound.Request{URL: client.SectorIdentifierURI, Limit: maxSector})
	if err != nil {
		c.log.WarnContext(ctx, "the sector of a client could not be fetched", "client_id", client.ID, "err", outbound.Detail(err))
		found.add("sector_identifier_uri", at+"that could not be fetched", "let it answer with a JSON array of the redirect_uris; the log says what happened")
		if !outbound.Refused(err) {
			return &sectorAway{found.err()}
		}
		return found.err()
	}
	var listed []string
	if json.Unmarshal(document.Body, &listed) != nil {
		found.add("sector_identifier_uri", at+"whose document is no JSON array of texts", "let it answer with a JSON array of the redirect_uris")
		return found.err()
	}
	for i, uri := range client.RedirectURIs {
		if !slices.Contains(listed, uri) {
			found.add(index("redirect_uris", i), quoted(uri)+", which the document at sector_identifier_uri does not list", "add it there, character by character")
		}
	}
	return found.err()
}
