package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/doorward/doorward/storage"
)

// clientMemory are the clients of the configuration file at this start and before, by
// their ID, so that one that is taken out and put back later inherits no token.
type clientMemory map[string]clientMemo

// clientMemo holds a count and nothing random, so that replicas that start at the same
// time agree.
type clientMemo struct {
	Returns int  `json:"returns,omitempty"` // how often it came back
	Gone    bool `json:"gone,omitempty"`    // it was not in the file at the last start
}

func (m clientMemo) incarnation() string {
	if m.Returns == 0 {
		return ""
	}
	return fmt.Sprint("returned-", m.Returns)
}

func clientsKey(issuer string) storage.Key {
	return storage.Key{Namespace: "idp", Kind: "clients", ID: issuer}
}

// recallClients reads what the last start remembered, empty for a new database.
func recallClients(ctx context.Context, backend storage.Backend, issuer string) (clientMemory, error) {
	m := clientMemory{}
	found, err := backend.Get(ctx, clientsKey(issuer))
	if err == nil && len(found[0].Value) > 0 {
		err = json.Unmarshal(found[0].Value, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("look up the clients of the last start: %w", err)
	}
	return m, nil
}

// follow returns the clients of the file with their incarnations: a client that is back
// after a start without it is another one.
func (m clientMemory) follow(clients []storage.Client) []storage.Client {
	now := make([]storage.Client, 0, len(clients))
	there := map[string]bool{}
	for i := range clients {
		c := clients[i].Clone()
		memo := m[c.ID]
		if memo.Gone {
			memo = clientMemo{Returns: memo.Returns + 1}
		}
		m[c.ID], there[c.ID], c.Incarnation = memo, true, memo.incarnation()
		now = append(now, *c)
	}
	for id, memo := range m {
		if !there[id] {
			memo.Gone = true
			m[id] = memo
		}
	}
	return now
}

func (m clientMemory) write(ctx context.Context, backend storage.Backend, s *storage.Store, issuer string) error {
	value, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("remember the clients: %w", err)
	}
	err = backend.Apply(ctx, storage.Batch{Now: s.Now(), Ops: []storage.Op{
		{Action: storage.ActionPut, Key: clientsKey(issuer), If: storage.Any(), Value: value},
	}})
	if err != nil {
		return fmt.Errorf("remember the clients: %w", err)
	}
	return nil
}

// followFile ends what the configuration file ended since the last start: everything of
// users who were disabled, removed or given another password, and of clients that were
// taken out, should they come back.
func (p *provider) followFile(ctx context.Context, backend storage.Backend) error {
	changes, err := p.people.Follow(ctx, p.server.RevokeSubject)
	for _, c := range changes {
		p.log.InfoContext(ctx, "the configuration file changed a user; what was granted before has ended", "sub", c.Subject, "username", c.Username, "reason", c.Why)
	}
	if err != nil {
		return fmt.Errorf("compare the users of the configuration file with those of the last start: %w", err)
	}
	return p.clients.write(ctx, backend, p.server.Store(), p.server.Issuer())
}
