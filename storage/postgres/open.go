package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	defaultSchema         = "doorward"
	defaultMaxConns       = 16
	defaultConnectTimeout = 5 * time.Second
	defaultPingTimeout    = time.Second
	defaultStatement      = "10s"

	oldestServer = 14_00_00

	// clockWarning is how far the clock of this machine may be off before it is told.
	clockWarning = 5 * time.Second

	defaultAcquireTimeout = 5 * time.Second

	// grace is what the network may take on top of the statement timeout, and unlimited
	// is for a server whose statement timeout was turned off.
	grace     = 5 * time.Second
	unlimited = time.Minute
)

// Open opens the store in the database that dsn names, and creates its tables when there
// are none. The error of a database that can't be used is one sentence that says what to
// do. ctx bounds the opening only.
func Open(ctx context.Context, dsn string) (*Backend, error) {
	return OpenWith(ctx, dsn, Options{})
}

// OpenWith is Open with options.
func OpenWith(ctx context.Context, dsn string, o Options) (*Backend, error) {
	config, err := configure(dsn, o)
	if err != nil {
		return nil, err
	}
	b := &Backend{
		log:    o.Logger,
		place:  placeOf(config.ConnConfig),
		schema: cmp.Or(o.Schema, defaultSchema),

		acquireTimeout: defaultAcquireTimeout,
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	b.sql = statementsIn(b.schema)
	b.trips.read, b.trips.patience, b.trips.free = b.getAll, b.acquireTimeout, max(1, int(config.MaxConns)/4)
	b.presence = presence{lock: lockOf(b.schema, "open"), pids: map[int32]struct{}{}}
	config.AfterConnect, config.BeforeClose = b.presence.connected, b.presence.closing
	if b.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("postgres: %s can't be opened: %w", b.place, err)
	}
	if err := b.start(ctx); err != nil {
		b.pool.Close()
		return nil, err
	}
	return b, nil
}

// Place names the database that a DSN means, for messages: without user and password. The
// error is that of Open for a DSN that can't be read.
func Place(dsn string) (string, error) {
	config, err := configure(dsn, Options{})
	if err != nil {
		return "", err
	}
	return placeOf(config.ConnConfig), nil
}

// configure reads the DSN and adds what it does not say.
func configure(dsn string, o Options) (*pgxpool.Config, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("postgres: the DSN is empty: write one such as postgres://doorward@db.internal/product?sslmode=verify-full")
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: the DSN can't be read: %w", err)
	}
	plain, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: the DSN can't be read: %w", err)
	}
	switch _, said := plain.RuntimeParams["pool_max_conns"]; {
	case o.MaxConns < 0 || o.MaxConns > math.MaxInt32:
		return nil, fmt.Errorf("postgres: MaxConns is %d: write how many connections this replica may open, or 0", o.MaxConns)
	case o.MaxConns > 0:
		config.MaxConns = int32(o.MaxConns)
	case !said:
		config.MaxConns = defaultMaxConns
	}
	if config.PingTimeout == 0 {
		// A connection that was idle is tried first. One that a firewall forgot would keep
		// many reads waiting, since they share few.
		config.PingTimeout = defaultPingTimeout
	}
	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	// A replica that became primary, and a primary that became a replica, are found at
	// the next connection, whatever target_session_attrs asks for.
	c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	c.OnNotice = noteWarning
	params := c.RuntimeParams
	for name, value := range map[string]string{
		"application_name":   "doorward",
		"statement_timeout":  defaultStatement,
		"synchronous_commit": "on",
		// A replica that was stopped in the middle of a migration must not keep the others
		// from starting for ever.
		"idle_in_transaction_session_timeout": "1min",
		// Every statement of ours goes by an index, in its order. A plan made while a table
		// was small would read the whole of it when it is large, and one made without
		// knowing how little is asked for would sort all there is.
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"enable_sort":       "off",
		// So the values of a call can change nothing of its plan. Left to itself the server
		// makes a plan for each call of most of ours, a fifth of all its work.
		"plan_cache_mode": "force_generic_plan",
		"jit":             "off",
	} {
		if params[name] == "" {
			params[name] = value
		}
	}
	switch params["synchronous_commit"] {
	case "on", "remote_apply":
	default:
		return nil, fmt.Errorf("postgres: the DSN sets synchronous_commit to %q, with which a crash would lose what was acknowledged: leave it out, or write on or remote_apply", params["synchronous_commit"])
	}
	// apply_1 reads anew after its locks were granted, which no other level lets it do.
	params["default_transaction_isolation"] = "read committed"
	return config, nil
}

func placeOf(c *pgx.ConnConfig) string {
	return fmt.Sprintf("the database %q at %s:%d", c.Database, c.Host, c.Port)
}

// start looks at the server and brings the schema up to date.
func (b *Backend) start(ctx context.Context) error {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return b.openError(ctx, err)
	}
	defer conn.Release()
	var (
		version  int
		standby  bool
		readOnly string
		fsync    string
		timeout  int64 // milliseconds
		us       int64
	)
	sent := time.Now()
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
		current_setting('transaction_read_only'), current_setting('fsync'),
		(SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'), `+microseconds,
	).Scan(&version, &standby, &readOnly, &fsync, &timeout, &us)
	switch {
	case err != nil:
		return b.openError(ctx, err)
	case version < oldestServer:
		return fmt.Errorf("postgres: %s runs PostgreSQL %d, which is too old: %d or later is needed", b.place, version/1_00_00, oldestServer/1_00_00)
	case standby || readOnly == "on":
		return b.readOnlyError()
	}
	received := time.Now()
	b.clock.note(sent, received, us)
	if off := received.Sub(time.UnixMicro(us)); off < -clockWarning || off > clockWarning+received.Sub(sent) {
		b.log.Warn("the clock of this machine is not that of the database, which counts; its own log and other programs are off", "database", b.place, "ahead", off.Round(time.Second).String())
	}
	if fsync == "off" {
		b.log.Warn("the PostgreSQL server does not sync (fsync = off): a crash of its machine loses what was acknowledged", "database", b.place)
	}
	b.warnPlaintext(conn.Conn().PgConn().Conn())
	b.patience = time.Duration(timeout)*time.Millisecond + grace
	if timeout == 0 {
		b.patience = unlimited
	}
	if err := b.migrate(ctx, conn.Conn()); err != nil {
		return b.openError(ctx, err)
	}
	return nil
}

// warnPlaintext tells when what passes between here and the server can be read and changed
// on its way. Values are sealed, but who can write can also delete a revocation.
func (b *Backend) warnPlaintext(c net.Conn) {
	if _, encrypted := c.(*tls.Conn); encrypted {
		return
	}
	peer, tcp := c.RemoteAddr().(*net.TCPAddr)
	if tcp && !peer.IP.IsLoopback() {
		b.log.Warn("the connection to PostgreSQL is not encrypted: add sslmode=verify-full to the DSN", "database", b.place)
	}
}

func (b *Backend) readOnlyError() error {
	return fmt.Errorf("postgres: %s can only be read: name the primary, or a user whose transactions may write", b.place)
}

// openError says what to do about a database that can't be opened.
func (b *Backend) openError(ctx context.Context, err error) error {
	var pgErr *pgconn.PgError
	var layoutErr *layoutError
	switch {
	case errors.As(err, &layoutErr):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("postgres: %s was not opened in time: %w", b.place, ctx.Err())
	case strings.Contains(err.Error(), "read only connection"): // the driver has no sentinel for it
		return b.readOnlyError()
	case !errors.As(err, &pgErr):
		return fmt.Errorf("postgres: %s can't be reached: %w", b.place, err)
	}
	switch pgErr.Code {
	case readOnlyTransaction:
		return b.readOnlyError()
	case insufficientPrivilege:
		return fmt.Errorf("postgres: %s does not let this user make the schema %q (%s): let an administrator run CREATE SCHEMA %s AUTHORIZATION %s", b.place, b.schema, pgErr.Message, quote(b.schema), quote(b.user()))
	case duplicateTable, duplicateObject, duplicateFunction:
		return fmt.Errorf("postgres: the schema %q of %s holds objects of another program (%s): give doorward a schema of its own", b.schema, b.place, pgErr.Message)
	}
	return fmt.Errorf("postgres: %s can't be opened: %w", b.place, err)
}

func (b *Backend) user() string { return b.pool.Config().ConnConfig.User }

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
