// Package store is ordered bytes under one revision counter.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

type Revision = int64

type Entry struct {
	Key                         string
	Value                       []byte
	ModRevision, CreateRevision Revision
}
type Range struct {
	Prefix, From string
	Limit        int
	Revision     Revision
}
type Page struct {
	Entries  []Entry
	Revision Revision
	More     bool
}
type Write struct {
	Key   string
	Value []byte
	If    Revision
	TTL   time.Duration
}
type EventType int

const (
	Put EventType = iota
	Delete
)

type Event struct {
	Type        EventType
	Key         string
	Value       []byte
	ModRevision Revision
	Create      bool
	PrevValue   []byte
}
type Batch struct {
	Events   []Event
	Revision Revision
}
type Store interface {
	Get(ctx context.Context, key string) (Entry, Revision, error)
	List(ctx context.Context, r Range) (Page, error)
	Write(ctx context.Context, w Write) (Revision, error)
	Watch(ctx context.Context, prefix string, after Revision) iter.Seq2[Batch, error]
	Compact(ctx context.Context, rev Revision) error
	Revision(ctx context.Context) (Revision, error)
	Close() error
}

var ErrUncertain = errors.New("uncertain")
var ErrCompacted = errors.New("compacted")
var ErrNotFound = errors.New("not found")

type ConflictError struct {
	Key     string
	Current Entry
	Exists  bool
}

func (e *ConflictError) Error() string { return fmt.Sprintf("conflict on %s", e.Key) }
