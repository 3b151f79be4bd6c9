package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// apiRow is a measurement that any API server can take.
type apiRow struct {
	name, measure string
	rate          float64       // goal
	cpu           time.Duration // goal for the server's processor time per operation
	run           func(b *bench, t *target) (figure, error)
	limit         func(b *bench, skiff figure) (figure, error)
}

// manyClients is how many connections make a server busy.
const manyClients = 32

// listClients is how many connections make a server busy with large answers.
const listClients = 4

var apiRows = []apiRow{
	{"create", "create ConfigMap 1 KiB, 32 connections", 8000, 120 * time.Microsecond, createBy(manyClients, "create"), txnLimit(32)},
	{"create-one", "create ConfigMap 1 KiB, one connection", 2000, 0, createBy(1, "create-one"), txnLimit(1)},
	{"get", "get ConfigMap, 32 connections", 25000, 30 * time.Microsecond, get, answerLimit(manyClients)},
	{"patch", "merge patch, 32 connections", 6000, 150 * time.Microsecond, mergePatch, txnLimit(32)},
	{"apply-create", "create by server-side apply, 32 connections", 4000, 250 * time.Microsecond, applyBy("apply-create", applyNew), txnLimit(32)},
	{"apply", "server-side apply that changes, 32 connections", 4000, 250 * time.Microsecond, applyBy("apply", applyAgain), txnLimit(32)},
	{"delete", "delete, 32 connections", 8000, 120 * time.Microsecond, remove, txnLimit(32)},
	{"list", "list 5,000 × 1 KiB", 200, 4500 * time.Microsecond, list(""), answerLimit(listClients)},
	{"list-label", "list 500 by label among 5,000", 1500, 0, list("labelSelector=tenth%3Dyes"), answerLimit(listClients)},
	{"page", "page of 500 among 5,000", 1500, 0, list("limit=500"), answerLimit(listClients)},
	{"watch", "watch fan-out, 100 watchers × 1,000 events", 300000, 3 * time.Microsecond, fanOut, nil},
}

// lines measures a row on Skiff, its limit, and upstream where it runs.
func (r apiRow) lines(b *bench) []line {
	rate := line{measure: r.measure, unit: perSecond, goal: r.rate}
	cpu := line{measure: "server processor, each", unit: seconds, goal: r.cpu.Seconds(), fine: true}
	t, err := b.server()
	if err != nil {
		rate.why = err
		return []line{rate}
	}
	f, err := r.run(b, t)
	if err != nil {
		rate.why = t.why(err)
		return []line{rate}
	}
	rate.skiff, cpu.skiff = f.rate, f.cpu.Seconds()
	rate.note = f.remark()
	if r.limit != nil {
		limit, err := r.limit(b, f)
		if err != nil {
			rate.note = joinNotes(rate.note, "limit: "+err.Error())
		}
		rate.limit, cpu.limit = limit.rate, limit.cpu.Seconds()
	}
	if b.peers {
		r.measurePeer(b, &rate, &cpu)
	}
	return []line{rate, cpu}
}

func (r apiRow) measurePeer(b *bench, rate, cpu *line) {
	t, err := b.upstream()
	var f figure
	if err == nil {
		f, err = r.run(b, t)
		err = t.why(err)
	}
	if err != nil {
		rate.note = joinNotes(rate.note, "upstream: "+err.Error())
		return
	}
	rate.peer, cpu.peer = f.rate, f.cpu.Seconds()
	rate.note = joinNotes(rate.note, "upstream: "+f.remark())
}

// remark is what the table says beside the figure.
func (f figure) remark() string {
	if f.p50 == 0 {
		return f.note
	}
	return joinNotes(fmt.Sprintf("p50 %s, p99 %s", seconds.text(f.p50.Seconds()), seconds.text(f.p99.Seconds())), f.note)
}

func joinNotes(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(s string) bool { return s == "" }), "; ")
}

// makeNamespace makes a namespace for a row; one that exists will do.
func makeNamespace(t *target, name string) error {
	_, err := t.once(request{method: "POST", path: "/api/v1/namespaces", media: mediaProtobuf, body: namespace(name)})
	if refused, ok := err.(*refusedError); ok && refused.code == 409 {
		return nil
	}
	return err
}

func configMapsPath(namespace string) string {
	return "/api/v1/namespaces/" + namespace + "/configmaps"
}

// create returns an operation that creates what a template makes.
func create(path string, template func(i int) template) func(*conn, int, int) (int, error) {
	return func(c *conn, _, i int) (int, error) {
		return c.do(request{method: "POST", path: path, media: mediaProtobuf, body: template(i).number(nil, i)})
	}
}

// fill creates n objects and is not measured.
func fill(t *target, namespace string, n int) error {
	if err := makeNamespace(t, namespace); err != nil {
		return err
	}
	object := configMap(namespace, nil)
	do := create(configMapsPath(namespace), func(int) template { return object })
	_, err := load{on: t, setup: true, clients: manyClients, ops: n, do: do}.run()
	return err
}

func createBy(clients int, namespace string) func(*bench, *target) (figure, error) {
	return func(b *bench, t *target) (figure, error) {
		if err := makeNamespace(t, namespace); err != nil {
			return figure{}, err
		}
		object := configMap(namespace, nil)
		return load{
			on: t, clients: clients, time: b.length(3 * time.Second),
			do: create(configMapsPath(namespace), func(int) template { return object }),
		}.run()
	}
}

// Numbers of objects that are read, changed and deleted.
const (
	readObjects   = 2000
	deleteObjects = 12000
)

func get(b *bench, t *target) (figure, error) {
	if err := fill(t, "get", readObjects); err != nil {
		return figure{}, err
	}
	return load{
		on: t, clients: manyClients, time: b.length(3 * time.Second),
		do: func(c *conn, _, i int) (int, error) {
			return c.do(request{method: "GET", path: fmt.Sprintf("%s/cm-%08d", configMapsPath("get"), i%readObjects)})
		},
	}.run()
}

// mergePatch changes a key of the data. Connections share no object, so that
// there are no conflicts.
func mergePatch(b *bench, t *target) (figure, error) {
	if err := fill(t, "patch", readObjects/manyClients*manyClients); err != nil {
		return figure{}, err
	}
	return load{
		on: t, clients: manyClients, time: b.length(3 * time.Second),
		do: func(c *conn, _, i int) (int, error) {
			return c.do(request{
				method: "PATCH", path: fmt.Sprintf("%s/cm-%08d", configMapsPath("patch"), i%(readObjects/manyClients*manyClients)),
				media: mediaMergePatch, body: fmt.Appendf(nil, `{"data":{"changed":"%d"}}`, i),
			})
		},
	}.run()
}

// applyAgain makes operations that share readObjects objects; as with mergePatch,
// connections share none.
func applyAgain(i int) int { return i % (readObjects / manyClients * manyClients) }

// applyNew gives every operation an object of its own.
func applyNew(i int) int { return i }

// applyBy applies objects (KEP-555) whose number is that of the operation turned
// by which. Those that exist are made by apply too.
func applyBy(namespace string, which func(i int) int) func(*bench, *target) (figure, error) {
	value := strings.Repeat("0123456789", objectBytes/10)
	do := func(c *conn, _, i int) (int, error) {
		name := fmt.Sprintf("cm-%08d", which(i))
		return c.do(request{
			method: "PATCH", path: configMapsPath(namespace) + "/" + name + "?fieldManager=bench&force=true", media: mediaApply,
			body: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q},"data":{"data":%q,"changed":"%d"}}`, name, value, i),
		})
	}
	return func(b *bench, t *target) (figure, error) {
		if err := makeNamespace(t, namespace); err != nil {
			return figure{}, err
		}
		if which(readObjects) < readObjects {
			if _, err := (load{on: t, setup: true, clients: manyClients, ops: which(readObjects-1) + 1, do: do}).run(); err != nil {
				return figure{}, err
			}
		}
		return load{on: t, clients: manyClients, time: b.length(3 * time.Second), do: do}.run()
	}
}

func remove(b *bench, t *target) (figure, error) {
	n := b.count(deleteObjects)
	if err := fill(t, "delete", n); err != nil {
		return figure{}, err
	}
	return load{
		on: t, clients: manyClients, ops: n,
		do: func(c *conn, _, i int) (int, error) {
			return c.do(request{method: "DELETE", path: fmt.Sprintf("%s/cm-%08d", configMapsPath("delete"), i)})
		},
	}.run()
}

// listObjects is how many objects the lists are taken from.
const listObjects = 5000

// list makes lists with a query. One in ten objects has the label tenth=yes.
func list(query string) func(*bench, *target) (figure, error) {
	return func(b *bench, t *target) (figure, error) {
		if err := t.fillList(); err != nil {
			return figure{}, err
		}
		path := configMapsPath("list") + "?" + query
		return load{
			on: t, clients: listClients, time: b.length(3 * time.Second),
			do: func(c *conn, _, _ int) (int, error) { return c.do(request{method: "GET", path: path}) },
		}.run()
	}
}

func (t *target) fillList() error {
	if t.listFilled {
		return nil
	}
	if err := makeNamespace(t, "list"); err != nil {
		return err
	}
	plain, labelled := configMap("list", map[string]string{"tenth": "no"}), configMap("list", map[string]string{"tenth": "yes"})
	do := create(configMapsPath("list"), func(i int) template {
		if i%10 == 0 {
			return labelled
		}
		return plain
	})
	if _, err := (load{on: t, setup: true, clients: manyClients, ops: listObjects, do: do}).run(); err != nil {
		return err
	}
	t.listFilled = true
	return nil
}
