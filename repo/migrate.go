package repo

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/template"

	"github.com/pressly/goose/v3"
)

//go:embed schema/*.sql
var schemas embed.FS

// newMigrations returns the schema's migrations for a database.
func newMigrations(db *sql.DB, d *dialect) (*goose.Provider, error) {
	files, err := fs.Sub(schemas, "schema")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.migrationLocker != nil {
		locker, err := d.migrationLocker()
		if err != nil {
			return nil, err
		}
		options = append(options, locker)
	}
	p, err := goose.NewProvider(d.gooseDialect, db, templateFS{files, d.schemaWords, d.migrationSettings}, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	return p, nil
}

// migrate brings the schema up to date. It only goes forward, and one server migrates at a time.
//
// A newer schema is left as it is if it says that servers of this version can work with it:
// both versions run while a new one is rolled out.
func migrate(ctx context.Context, db *sql.DB, d *dialect) error {
	p, err := newMigrations(db, d)
	if err != nil {
		return err
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if has > knows {
		return checkCompatible(ctx, db, has, knows)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing the schema up to date: %w", err)
	}
	return nil
}

// checkSchema fails unless the schema is what this version knows, or one that it can work with.
func checkSchema(ctx context.Context, db *sql.DB, d *dialect) error {
	p, err := newMigrations(db, d)
	if err != nil {
		return err
	}
	var has int64
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&has); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	sources := p.ListSources()
	knows := sources[len(sources)-1].Version
	switch {
	case has > knows:
		return checkCompatible(ctx, db, has, knows)
	case has < knows:
		return &OpenError{
			Problem: fmt.Sprintf("an older server made it (its schema is version %d, this is version %d)", has, knows),
			Hint:    "start this version of the server on it once, which brings it up to date",
		}
	}
	return nil
}

// checkCompatible fails unless a server that knows schema version knows can work with version has.
func checkCompatible(ctx context.Context, db *sql.DB, has, knows int64) error {
	var needs int64
	if err := db.QueryRowContext(ctx, "SELECT compatible FROM modified").Scan(&needs); err != nil {
		return fmt.Errorf("reading which servers the newer schema needs: %w", err)
	}
	if needs <= knows {
		return nil
	}
	return &OpenError{
		Problem: fmt.Sprintf("a newer server made it (its schema is version %d and needs a server that knows version %d; this one knows version %d)", has, needs, knows),
		Hint:    "use the newer server, or a backup from before the upgrade",
	}
}

// templateFS is a folder of migrations that are SQL templates; files read as the executed templates, with the settings
// before the first statement.
type templateFS struct {
	fs.FS
	data     any
	settings string
}

// beginUp is the line after which a migration's statements begin.
const beginUp = "-- +goose Up\n"

// Open executes the template of that name.
func (r templateFS) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	source, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(source))
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if err := t.Execute(&text, r.data); err != nil {
		return nil, err
	}
	return &expandedFile{f, strings.NewReader(strings.Replace(text.String(), beginUp, beginUp+r.settings, 1))}, nil
}

type expandedFile struct {
	fs.File
	text io.Reader
}

// Read reads from the executed template.
func (f *expandedFile) Read(p []byte) (int, error) { return f.text.Read(p) }
