package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// maxParallel is how many neighbouring creates or deletes of a plan are under
// way at once. They start with one and double with success, so that a quota
// that is used up costs one refusal and not five hundred.
const maxParallel = 32

// errAgain asks for another call soon, without being a problem.
var errAgain = errors.New("the view was behind")

// allowance is one kind of write that a controller has declared.
type allowance struct {
	kind        schema.GroupResource
	subresource string
	verb        resource.Verb
}

func allowances(writes []Output) map[allowance]bool {
	allowed := map[allowance]bool{}
	for _, out := range writes {
		for _, verb := range out.Verbs {
			allowed[allowance{out.Kind.GR(), out.Subresource, verb}] = true
		}
	}
	return allowed
}

// reconcile makes one call and carries out its plan.
func (r *runner) reconcile(ctx context.Context, w *worker, key view.Key, by wake, rnd *rand.Rand) (o outcome) {
	o = outcome{worker: w, key: key, by: by}
	defer func() {
		if p := recover(); p != nil {
			o.err = fmt.Errorf("reconcile %s: panic: %v\n%s", key, p, debug.Stack())
		}
	}()
	begin := r.deps.Clock.Now()
	v := r.cache.View()
	plan := w.decide(v, key, begin, rnd)
	d := doing{ctx: ctx, worker: w, after: w.ref(v, key, by)}
	if by.kind == nil {
		d.cause = "it was due"
	}
	o.err = d.plan(plan)
	w.keep(key, d.keep)
	o.revision, o.again, o.took = d.revision, plan.Again, r.deps.Clock.Since(begin)
	return o
}

func (w *worker) decide(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) Plan {
	if w.Recall == nil {
		return w.Reconcile(v, key, now, rnd)
	}
	kept, _ := w.kept.Load(key)
	return w.Recall(v, key, now, rnd, kept)
}

// keep takes what a plan keeps for the next call; nothing is forgotten at once, so
// that keys that are gone cost nothing.
func (w *worker) keep(key view.Key, value any) {
	if value == nil {
		w.kept.Delete(key)
		return
	}
	w.kept.Store(key, value)
}

// doing is a plan being carried out.
type doing struct {
	ctx    context.Context
	worker *worker
	cause  string // of operations that do not say theirs
	after  cause.Ref
	keep   any // for the next call

	mu       sync.Mutex
	revision int64 // highest of the results
	behind   bool
}

func (d *doing) plan(p Plan) error {
	d.keep = p.Keep
	done := make([]bool, len(p.Do))
	failed, err := d.ops(p.Do, done)
	for _, note := range p.Events {
		if note.After == 0 || note.After <= len(done) && done[note.After-1] {
			d.worker.record(note.Note)
		}
	}
	if err != nil {
		if p.Failed == nil {
			return fmt.Errorf("%s: %w", failed, err)
		}
		next := p.Failed(failed, err)
		next.Failed = nil
		return d.plan(next)
	}
	if p.Err == nil && d.behind {
		return errAgain
	}
	return p.Err
}

// ops carries out operations until the first error, which it returns with the
// operation that met it.
func (d *doing) ops(ops []client.Op, done []bool) (client.Op, error) {
	for _, op := range ops {
		if !d.worker.allowed[allowance{op.Kind.GR(), op.Subresource, op.Verb}] {
			return op, fmt.Errorf("controller %s does not declare this write", d.worker.Name)
		}
	}
	for from := 0; from < len(ops); {
		to := from + 1
		for to < len(ops) && alike(ops[from], ops[to]) {
			to++
		}
		if i, err := d.batch(ops[from:to], done[from:to]); err != nil {
			return ops[from+i], err
		}
		from = to
	}
	return client.Op{}, nil
}

// alike says that two operations do not depend on each other's order.
func alike(a, b client.Op) bool {
	return a.Verb == b.Verb && a.Kind == b.Kind && a.Subresource == b.Subresource &&
		(a.Verb == resource.Create || a.Verb == resource.Delete)
}

// batch carries out alike operations, more and more at once. It returns the
// first error and its index.
func (d *doing) batch(ops []client.Op, done []bool) (int, error) {
	if len(ops) == 1 {
		return 0, d.one(ops[0], &done[0])
	}
	for from, size := 0, 1; from < len(ops); size = min(2*size, d.worker.parallel) {
		to := min(from+size, len(ops))
		errs := make([]error, to-from)
		var wg sync.WaitGroup
		for i := from; i < to; i++ {
			wg.Go(func() { errs[i-from] = d.one(ops[i], &done[i]) })
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil {
				return from + i, err
			}
		}
		from = to
	}
	return 0, nil
}

func (d *doing) one(op client.Op, done *bool) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	op.Cause, op.After = cmp.Or(op.Cause, d.cause), cmp.Or(op.After, d.after)
	obj, err := d.worker.client.Do(d.ctx, op)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		*done = true
		d.revision = max(d.revision, revisionOf(obj))
		return nil
	case op.Verb == resource.Delete && apierrors.IsNotFound(err):
		return nil
	case op.Verb == resource.Create && op.Subresource == "" && op.Name != "" && apierrors.IsAlreadyExists(err):
		d.behind = true
		return nil
	default:
		return err
	}
}

// revisionOf returns the revision of the last write to obj, 0 if it has none.
func revisionOf(obj resource.Object) int64 {
	if obj == nil {
		return 0
	}
	revision, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

// ordinary says that an error is part of the normal course of things.
func ordinary(err error) bool {
	return errors.Is(err, errAgain) || errors.Is(err, context.Canceled) || apierrors.IsConflict(err)
}
