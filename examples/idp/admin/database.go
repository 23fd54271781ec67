package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/postgres"
)

// Stats is what the database holds, and what this process has done with it since it was
// opened.
type Stats struct {
	Database     string          `json:"database"`   // file or postgres
	FileBytes    int64           `json:"file_bytes"` // of PostgreSQL: of the tables and their indexes
	FreeBytes    int64           `json:"free_bytes"` // of the file, used again before it grows
	FreePages    int             `json:"free_pages"`
	PendingPages int             `json:"pending_pages"` // free when the reads under way have ended
	PageBytes    int             `json:"page_bytes"`
	Commits      int             `json:"commits"`
	Batches      int             `json:"batches"`
	Syncs        int             `json:"syncs"`
	AverageBatch float64         `json:"average_batch"`
	Connections  int             `json:"connections,omitempty"` // PostgreSQL: open, and calls that waited for one
	Waits        int             `json:"waits,omitempty"`
	Sweeps       int             `json:"sweeps,omitempty"` // commits that deleted what had expired
	Swept        int             `json:"swept,omitempty"`  // records that these deleted
	LongestSweep float64         `json:"longest_sweep_ms,omitempty"`
	Kinds        []storage.Tally `json:"kinds"`

	DataKeys storage.DataKeys `json:"data_keys"` // that seal the records of this issuer
}

// Databases that Stats names.
const (
	OnFile     = "file"
	OnPostgres = "postgres"
)

// Checked is what a check without a finding has looked at.
type Checked struct {
	Records int `json:"records"` // of everybody
	Opened  int `json:"opened"`  // of this issuer: their seals open
}

var (
	errNoFile   = errors.New("admin: the database is no file of this server; ask its own tools")
	errNoCensus = errors.New("admin: the database is one that can't be counted")
)

// Stats counts. It reads the whole database.
func (l *Local) Stats(ctx context.Context) (Stats, error) {
	s, err := l.tally(ctx)
	if err != nil {
		return s, err
	}
	s.DataKeys, err = l.Server.Store().DataKeys(ctx)
	return s, err
}

// RotateDataKey makes a new data key. A server that runs seals the older records anew.
func (l *Local) RotateDataKey(ctx context.Context) (storage.DataKeys, error) {
	if err := l.Server.RotateDataKey(ctx); err != nil {
		return storage.DataKeys{}, err
	}
	return l.Server.Store().DataKeys(ctx)
}

func (l *Local) tally(ctx context.Context) (Stats, error) {
	census, ok := storage.As[storage.Census](l.Backend)
	if !ok {
		return Stats{}, errNoCensus
	}
	kinds, err := census.Count(ctx, l.Server.Store().Now())
	if err != nil {
		return Stats{}, err
	}
	if b, ok := storage.As[*postgres.Backend](l.Backend); ok {
		bytes, err := b.Space(ctx)
		s := b.Stats()
		return Stats{
			Database: OnPostgres, FileBytes: bytes, Commits: s.Commits, Batches: s.Commits, AverageBatch: 1,
			Connections: s.Connections, Waits: s.Waits, Kinds: kinds,
		}, err
	}
	b, ok := storage.As[*bolt.Backend](l.Backend)
	if !ok {
		return Stats{Kinds: kinds}, nil
	}
	s := b.Stats()
	return Stats{
		Database: OnFile, FileBytes: s.FileBytes, FreeBytes: int64(s.FreePages) * int64(s.PageBytes),
		FreePages: s.FreePages, PendingPages: s.PendingPages, PageBytes: s.PageBytes,
		Commits: s.Commits, Batches: s.Batches, Syncs: s.Syncs, AverageBatch: s.AverageBatch(), Kinds: kinds,
		Sweeps: s.Sweeps, Swept: s.Swept, LongestSweep: float64(s.LongestSweep.Microseconds()) / 1000,
	}, nil
}

// Check opens every seal of this issuer, and of a file looks at every page and record. The
// error is storage.ErrDamaged when something is wrong, one finding a line.
func (l *Local) Check(ctx context.Context) (c Checked, err error) {
	if b, ok := storage.As[*bolt.Backend](l.Backend); ok {
		c.Records, err = b.Check(ctx)
		if err != nil && !errors.Is(err, storage.ErrDamaged) {
			return c, err
		}
	} else if c.Records, err = l.count(ctx); err != nil {
		return c, err
	}
	var sealed error
	c.Opened, sealed = l.Server.Store().Check(ctx)
	return c, errors.Join(err, sealed)
}

func (l *Local) count(ctx context.Context) (records int, err error) {
	census, ok := storage.As[storage.Census](l.Backend)
	if !ok {
		return 0, errNoCensus
	}
	kinds, err := census.Count(ctx, l.Server.Store().Now())
	for _, k := range kinds {
		records += k.Live + k.Expired
	}
	return records, err
}

// Backup writes the database as it is at this moment.
func (l *Local) Backup(ctx context.Context, w io.Writer) (int64, error) {
	file, ok := storage.As[*bolt.Backend](l.Backend)
	if !ok {
		return 0, errNoFile
	}
	return file.Backup(ctx, w)
}

// Stats counts.
func (c *Remote) Stats(ctx context.Context) (s Stats, err error) {
	err = callWith(ctx, c.patient, http.MethodGet, "/stats", nil, &s)
	return s, err
}

// RotateDataKey makes a new data key.
func (c *Remote) RotateDataKey(ctx context.Context) (k storage.DataKeys, err error) {
	err = callWith(ctx, c.patient, http.MethodPost, "/data-key", nil, &k)
	return k, err
}

// Check looks at every page, record and seal.
func (c *Remote) Check(ctx context.Context) (checked Checked, err error) {
	err = callWith(ctx, c.patient, http.MethodPost, "/check", nil, &checked)
	return checked, err
}

// Backup receives the database. What has come when the error is not nil is not a
// database.
func (c *Remote) Backup(ctx context.Context, w io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/backup", nil)
	if err != nil {
		return 0, fmt.Errorf("admin: %w", err)
	}
	resp, err := c.patient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("admin: call the running server: %w", err)
	}
	defer resp.Body.Close()
	if err := refusal(resp); err != nil {
		return 0, err
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("admin: the backup broke off: %w", err)
	}
	return n, nil
}

// stall is how long the receiver of a backup may take for one piece of it.
const stall = time.Minute

// streamBackup answers with the database. A backup that fails half way ends the
// connection, so that the caller does not take it for a whole one.
func streamBackup(api API, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		unhurried(w)
		out := &paced{to: w, deadline: http.NewResponseController(w).SetWriteDeadline}
		n, err := api.Backup(r.Context(), out)
		log.InfoContext(r.Context(), "admin call", "call", "GET /backup", "bytes", n, "err", err)
		if err == nil {
			return
		}
		if out.began {
			panic(http.ErrAbortHandler) // the way of net/http to say so; it is not logged
		}
		writeAnswer(w, r, log, nil, err)
	}
}

// paced is a writer that gives each piece its own time.
type paced struct {
	to       io.Writer
	deadline func(time.Time) error
	began    bool
}

func (p *paced) Write(b []byte) (int, error) {
	if err := p.deadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	p.began = true
	return p.to.Write(b)
}

// unhurried lifts the time limits of the connection from a call: the operator's
// questions may take as long as the database is large, and end with their caller.
func unhurried(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})) // a test's recorder has none
}
