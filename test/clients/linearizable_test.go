package clients

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
)

// operation is what one client asked of one object.
type operation struct {
	kind    string // get, create, update, patch, delete
	key     string
	value   string
	version string // what update and delete require; "" is anything
}

// outcome is what it was answered.
type outcome struct {
	unknown bool // no answer: it may or may not have happened, even later
	refused bool // it did not happen: not found, exists or not of that version
	gaveUp  bool // it did not happen, for others were always faster
	value   string
	version string
}

// object is the state of one object in the model. The version is "?" after a
// write whose answer nobody saw.
type object struct{ value, version string }

const absent, anyVersion = "", "?"

// model is one object as the API promises it: each operation takes effect at
// once, somewhere between its call and its answer.
var model = func() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			var keys []string
			for _, o := range history {
				key := o.Input.(operation).key
				if byKey[key] == nil {
					keys = append(keys, key)
				}
				byKey[key] = append(byKey[key], o)
			}
			var parts [][]porcupine.Operation
			for _, key := range keys {
				parts = append(parts, byKey[key])
			}
			return parts
		},
		Init: func() []any { return []any{object{}} },
		Step: func(state, input, output any) []any {
			return step(state.(object), input.(operation), output.(outcome))
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v -> %+v", input, output)
		},
	}
	return m.ToModel()
}()

// step returns the states that the object can be in after the operation; none
// if the answer cannot be right.
func step(s object, in operation, out outcome) []any {
	exists := s.value != absent
	if in.kind == "get" {
		return read(s, out)
	}
	possible := exists == (in.kind != "create")
	matches := in.version == "" || in.version == s.version
	may := possible && (matches || s.version == anyVersion)
	must := possible && matches
	written := object{value: in.value, version: anyVersion}
	if in.kind == "delete" {
		written = object{}
	}
	switch {
	case out.unknown && may:
		return []any{s, written}
	case out.unknown, out.gaveUp:
		return []any{s}
	case out.refused && must && s.version != anyVersion:
		return nil
	case out.refused:
		return []any{s}
	case !may:
		return nil
	}
	if in.kind != "delete" {
		written.version = out.version
	}
	return []any{written}
}

func read(s object, out outcome) []any {
	switch {
	case out.unknown, out.gaveUp:
		return []any{s}
	case out.refused:
		if s.value != absent {
			return nil
		}
		return []any{s}
	case s.value != out.value || (s.version != anyVersion && s.version != out.version):
		return nil
	}
	return []any{object{value: out.value, version: out.version}}
}

// TestModelRefusesAnomalies: the checker would see what must not happen.
func TestModelRefusesAnomalies(t *testing.T) {
	create := porcupine.Operation{ClientId: 0, Input: operation{kind: "create", key: "k", value: "1"}, Call: 0, Output: outcome{value: "1", version: "5"}, Return: 10}
	for name, second := range map[string]porcupine.Operation{
		"a lost write":            {Input: operation{kind: "get", key: "k"}, Output: outcome{refused: true}},
		"an old value":            {Input: operation{kind: "get", key: "k"}, Output: outcome{value: "0", version: "4"}},
		"a stale write succeeds":  {Input: operation{kind: "update", key: "k", value: "2", version: "4"}, Output: outcome{value: "2", version: "6"}},
		"a second create":         {Input: operation{kind: "create", key: "k", value: "2"}, Output: outcome{value: "2", version: "6"}},
		"a fresh write conflicts": {Input: operation{kind: "update", key: "k", value: "2", version: "5"}, Output: outcome{refused: true}},
	} {
		second.ClientId, second.Call, second.Return = 1, 20, 30
		if porcupine.CheckOperations(model, []porcupine.Operation{create, second}) {
			t.Errorf("%s counts as linearizable", name)
		}
	}
}

const (
	checkedClients = 8
	checkedTime    = 12 * time.Second
	// keyLife is how many operations go to one name: checking takes time that
	// grows fast with a history's length.
	keyLife = 200
)

// TestLinearizable has clients read and write the same few objects while the
// server is killed again and again, and then looks for an order in which all
// answers make sense.
func TestLinearizable(t *testing.T) {
	c := start(t, "e2e-linear", "--no-node", "--listen", freePort(t))
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), checkedTime)
	defer cancel()
	var counter atomic.Int64
	histories := make([][]porcupine.Operation, checkedClients)
	var wg sync.WaitGroup
	for id := range checkedClients {
		maps := c.client(t).CoreV1().ConfigMaps("default")
		wg.Go(func() {
			histories[id] = exercise(ctx, id, maps, &counter, func() int64 { return int64(time.Since(began)) })
		})
	}
	kills := c.killAgainAndAgain(ctx, t)
	wg.Wait()
	var history []porcupine.Operation
	unknown := 0
	for _, h := range histories {
		history = append(history, h...)
	}
	for i := range history {
		if history[i].Output.(outcome).unknown {
			unknown++
			history[i].Return = int64(time.Since(began)) // it may happen as late as now
		}
	}
	t.Logf("%d operations, %d of them without an answer, %d kills", len(history), unknown, kills)
	if len(history) < 500 || kills < 3 || unknown == 0 {
		t.Error("that is too little to prove anything")
	}
	if result, info := porcupine.CheckOperationsVerbose(model, history, patience); result != porcupine.Ok {
		t.Errorf("the history is not linearizable (%s)", result)
		if err := porcupine.VisualizePath(model, info, "linearizable.html"); err == nil {
			t.Log("see linearizable.html")
		}
	}
}

// killAgainAndAgain ends the server without warning until ctx ends, each time
// after it has answered, and returns how often.
func (c cluster) killAgainAndAgain(ctx context.Context, t *testing.T) int {
	client := c.client(t)
	kills := 0
	for ctx.Err() == nil {
		if _, err := client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{}); err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return kills
		case <-time.After(time.Duration(200+rand.IntN(800)) * time.Millisecond):
		}
		pid, err := c.serverPID()
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			continue // it is between two lives
		}
		kills++
	}
	return kills
}

// exercise is one client. It remembers versions it has seen, so that some of
// its writes are stale.
func exercise(ctx context.Context, id int, maps typed.ConfigMapInterface, counter *atomic.Int64, now func() int64) []porcupine.Operation {
	rnd := rand.New(rand.NewPCG(uint64(id), uint64(time.Now().UnixNano())))
	seen := map[string]string{}
	var history []porcupine.Operation
	for ctx.Err() == nil {
		n := counter.Add(1)
		in := operation{key: fmt.Sprintf("k%d-%d", n/(3*keyLife), rnd.IntN(3)), value: strconv.FormatInt(n, 10)}
		in.kind = []string{"get", "get", "create", "update", "update", "patch", "delete"}[rnd.IntN(7)]
		if in.kind == "update" || (in.kind == "delete" && rnd.IntN(2) == 0) {
			in.version = seen[in.key]
			if in.version == "" {
				in.kind = "get"
			}
		}
		call := now()
		out, err := perform(ctx, maps, in)
		if errors.Is(err, syscall.ECONNREFUSED) { // nobody heard of it
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		history = append(history, porcupine.Operation{ClientId: id, Input: in, Call: call, Output: out, Return: now()})
		if out.version != "" {
			seen[in.key] = out.version
		}
	}
	return history
}

func perform(ctx context.Context, maps typed.ConfigMapInterface, in operation) (outcome, error) {
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: in.key, ResourceVersion: in.version},
		Data:       map[string]string{"value": in.value},
	}
	var result *corev1.ConfigMap
	var err error
	switch in.kind {
	case "get":
		result, err = maps.Get(ctx, in.key, metav1.GetOptions{})
	case "create":
		result, err = maps.Create(ctx, object, metav1.CreateOptions{})
	case "update":
		result, err = maps.Update(ctx, object, metav1.UpdateOptions{})
	case "patch":
		patch := fmt.Appendf(nil, `{"data":{"value":%q}}`, in.value)
		result, err = maps.Patch(ctx, in.key, types.MergePatchType, patch, metav1.PatchOptions{})
	case "delete":
		opts := metav1.DeleteOptions{}
		if in.version != "" {
			opts.Preconditions = &metav1.Preconditions{ResourceVersion: &in.version}
		}
		err = maps.Delete(ctx, in.key, opts)
	}
	switch {
	case err == nil && in.kind == "delete":
		return outcome{}, nil
	case err == nil:
		return outcome{value: result.Data["value"], version: result.ResourceVersion}, nil
	case apierrors.IsConflict(err) && in.version == "":
		return outcome{gaveUp: true}, nil
	case apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		return outcome{refused: true}, nil
	}
	return outcome{unknown: true}, err
}
