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
)

// Stats is what the database holds, and what writing it has cost since it was opened.
type Stats struct {
	FileBytes    int64           `json:"file_bytes"`
	FreeBytes    int64           `json:"free_bytes"` // of the file, used again before it grows
	FreePages    int             `json:"free_pages"`
	PendingPages int             `json:"pending_pages"` // free when the reads under way have ended
	PageBytes    int             `json:"page_bytes"`
	Commits      int             `json:"commits"`
	Batches      int             `json:"batches"`
	Syncs        int             `json:"syncs"`
	AverageBatch float64         `json:"average_batch"`
	Kinds        []storage.Tally `json:"kinds"`
}

// Checked is what a check without a finding has looked at.
type Checked struct {
	Records int `json:"records"` // of everybody
	Opened  int `json:"opened"`  // of this issuer: their seals open
}

var errNoFile = errors.New("admin: the database is no file of this server; ask its own tools")

// Stats counts. It reads the whole database.
func (l *Local) Stats(ctx context.Context) (Stats, error) {
	if l.Backend == nil {
		return Stats{}, errNoFile
	}
	kinds, err := l.Backend.Count(ctx, l.Server.Store().Now())
	if err != nil {
		return Stats{}, err
	}
	s := l.Backend.Stats()
	return Stats{
		FileBytes: s.FileBytes, FreeBytes: int64(s.FreePages) * int64(s.PageBytes),
		FreePages: s.FreePages, PendingPages: s.PendingPages, PageBytes: s.PageBytes,
		Commits: s.Commits, Batches: s.Batches, Syncs: s.Syncs, AverageBatch: s.AverageBatch(), Kinds: kinds,
	}, nil
}

// Check looks at every page and record, and opens every seal of this issuer. The error
// is storage.ErrDamaged when something is wrong, one finding a line.
func (l *Local) Check(ctx context.Context) (c Checked, err error) {
	if l.Backend == nil {
		return c, errNoFile
	}
	c.Records, err = l.Backend.Check(ctx)
	if err != nil && !errors.Is(err, storage.ErrDamaged) {
		return c, err
	}
	var sealed error
	c.Opened, sealed = l.Server.Store().Check(ctx)
	return c, errors.Join(err, sealed)
}

// Backup writes the database as it is at this moment.
func (l *Local) Backup(ctx context.Context, w io.Writer) (int64, error) {
	if l.Backend == nil {
		return 0, errNoFile
	}
	return l.Backend.Backup(ctx, w)
}

// Stats counts.
func (c *Remote) Stats(ctx context.Context) (s Stats, err error) {
	err = callWith(ctx, c.patient, http.MethodGet, "/stats", nil, &s)
	return s, err
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
