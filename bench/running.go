package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/doorward/doorward/bench/peer"
)

// running is a server that this program started. It speaks with it as package peer says.
type running struct {
	outsider // its process
	program  program
	site     *site
	startup  time.Duration // until it said that it is ready
	dir      string        // where its files are; empty: it has none

	in     io.WriteCloser
	lines  chan []byte   // of its standard output
	ended  chan struct{} // closed when the process has gone
	cause  error         // why it went, after ended
	errors *tail
}

// What a server is given.
const (
	startTime = 30 * time.Second // to be ready
	stopTime  = 20 * time.Second // to end by itself
)

// launch starts a server and waits until it is ready.
func (w *workshop) launch(ctx context.Context, p program, o peer.Options) (*running, error) {
	command, err := w.command(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%s can't be built: %w", p.name, err)
	}
	command = append(command, "--alg="+o.Algorithm)
	if o.JWT {
		command = append(command, "--jwt")
	}
	if o.Clients > 0 {
		command = append(command, "--clients="+strconv.Itoa(o.Clients))
	}
	if o.Postgres != "" {
		command = append(command, "--postgres="+o.Postgres)
	}
	if o.Profile != "" {
		command = append(command, "--profile="+o.Profile)
	}
	if p.files && o.Dir == "" {
		if o.Dir, err = w.folder(p.name); err != nil {
			return nil, err
		}
	}
	if p.files {
		command = append(command, "--dir="+o.Dir)
	}
	r := &running{program: p, dir: o.Dir, lines: make(chan []byte), ended: make(chan struct{}), errors: &tail{}}
	if err := r.start(command); err != nil {
		return nil, fmt.Errorf("%s can't be started: %w", p.name, err)
	}
	if err := r.ready(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not get ready: %w%s", p.name, err, r.said()), r.stop())
	}
	return r, nil
}

func (r *running) start(command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	if r.program.build == "" {
		cmd.Dir = filepath.Join("peers", "node")
	}
	cmd.Stderr = r.errors
	var err error
	if r.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.outsider = outsider(cmd.Process.Pid)
	go func() {
		defer close(r.ended)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			r.lines <- line
		}
		r.cause = cmd.Wait()
	}()
	return nil
}

// ready waits for the first line, and learns the endpoints.
func (r *running) ready(ctx context.Context, o peer.Options) error {
	began := time.Now()
	var ready peer.Ready
	if err := r.read(ctx, startTime, &ready); err != nil {
		return err
	}
	r.startup = time.Since(began)
	s := newSite(ready.Issuer)
	s.algorithm, s.jwt, s.process = o.Algorithm, o.JWT, r
	s.lacks, s.plain, s.constant = ready.Lacks, ready.Plain, ready.Constant
	r.site = s
	if ready.Plain {
		s.webScope = ""
	}
	if ready.Endpoints != nil {
		s.endpoints = *ready.Endpoints
		return nil
	}
	return s.discover(ctx)
}

// read decodes the next line that the server writes.
func (r *running) read(ctx context.Context, within time.Duration, into any) error {
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case line := <-r.lines:
		if err := json.Unmarshal(line, into); err != nil {
			return fmt.Errorf("it wrote %q: %w", line, err)
		}
		return nil
	case <-r.ended:
		return fmt.Errorf("it ended: %w", errors.Join(r.cause, io.EOF))
	case <-late.C:
		return fmt.Errorf("it said nothing for %v", within)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stats asks the server what it counted. Of one that counts nothing but has a folder, the
// folder is measured.
func (r *running) stats(ctx context.Context) (peer.Stats, error) {
	var s peer.Stats
	if _, err := io.WriteString(r.in, "stats\n"); err != nil {
		return s, fmt.Errorf("%s: %w%s", r.program.name, err, r.said())
	}
	if err := r.read(ctx, patience, &s); err != nil {
		return s, fmt.Errorf("%s: %w%s", r.program.name, err, r.said())
	}
	if s.Counted || r.dir == "" {
		return s, nil
	}
	size, err := folderSize(r.dir)
	s.File, s.Live = size, size
	return s, err
}

func folderSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was there a moment ago
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// stop ends the server, and removes its files.
func (r *running) stop() error {
	err := r.end()
	if err == nil && r.dir != "" {
		err = os.RemoveAll(r.dir)
	}
	return err
}

// end ends the server. It is killed when it doesn't end by itself.
func (r *running) end() error {
	r.in.Close()
	late := time.NewTimer(stopTime)
	defer late.Stop()
	for waiting := true; waiting; {
		select {
		case <-r.lines: // of no interest any more
		case <-r.ended:
			waiting = false
		case <-late.C:
			process, err := os.FindProcess(int(r.outsider))
			if err == nil {
				err = process.Kill()
			}
			if err != nil {
				return fmt.Errorf("%s, process %d, can't be ended: %w", r.program.name, int(r.outsider), err)
			}
		}
	}
	return nil
}

// said is what the server wrote to its standard error, to be put behind an error.
func (r *running) said() string {
	if text := r.errors.String(); text != "" {
		return "\n" + text
	}
	return ""
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
