// Package operator tests an operator as its author would: controller-runtime and
// client-go's informers against skifftest. A module of its own, so that
// controller-runtime is no dependency of Skiff.
package operator

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/skiff-sh/skiff/skifftest"
)

const (
	from      = "example.com/settings-from" // annotation of a deployment: a ConfigMap's name
	finalizer = "example.com/settings"
	condition = appsv1.DeploymentConditionType("SettingsCopied")
	leaseName = "settings.example.com"
)

// operator keeps a copy of the ConfigMap that a deployment's annotation names.
type operator struct{ client.Client }

func (o operator) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var d appsv1.Deployment
	if err := o.Get(ctx, request.NamespacedName, &d); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if d.DeletionTimestamp != nil {
		if controllerutil.RemoveFinalizer(&d, finalizer) {
			return reconcile.Result{}, o.Update(ctx, &d)
		}
		return reconcile.Result{}, nil
	}
	if controllerutil.AddFinalizer(&d, finalizer) {
		return reconcile.Result{}, o.Update(ctx, &d)
	}
	var source corev1.ConfigMap
	if err := o.Get(ctx, types.NamespacedName{Namespace: d.Namespace, Name: d.Annotations[from]}, &source); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err) // its creation is an event
	}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name + "-settings"}}
	_, err := controllerutil.CreateOrUpdate(ctx, o, settings, func() error {
		settings.Data = source.Data
		return controllerutil.SetControllerReference(&d, settings, o.Scheme())
	})
	if err != nil || copied(&d) {
		return reconcile.Result{}, err
	}
	d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
		Type: condition, Status: corev1.ConditionTrue, Reason: "Copied", LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	})
	return reconcile.Result{}, o.Status().Update(ctx, &d)
}

func copied(d *appsv1.Deployment) bool {
	for _, c := range d.Status.Conditions {
		if c.Type == condition {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// of asks for the deployments that copy a ConfigMap, by the cache's index.
func (o operator) of(ctx context.Context, source client.Object) (requests []reconcile.Request) {
	var list appsv1.DeploymentList
	if err := o.List(ctx, &list, client.InNamespace(source.GetNamespace()), client.MatchingFields{from: source.GetName()}); err != nil {
		return nil
	}
	for _, d := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&d)})
	}
	return requests
}

// run starts a manager that ends when the returned function is called, or with
// the test.
func run(t *testing.T, c *rest.Config) (stop func()) {
	t.Helper()
	duration := func(d time.Duration) *time.Duration { return &d }
	again := true
	mgr, err := ctrl.NewManager(c, ctrl.Options{
		Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"},
		Controller:     config.Controller{SkipNameValidation: &again}, // many in one process
		LeaderElection: true, LeaderElectionID: leaseName, LeaderElectionNamespace: "default", LeaderElectionReleaseOnCancel: true,
		RetryPeriod: duration(200 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = mgr.GetFieldIndexer().IndexField(t.Context(), &appsv1.Deployment{}, from, func(o client.Object) []string {
		return []string{o.GetAnnotations()[from]}
	})
	if err != nil {
		t.Fatal(err)
	}
	o := operator{mgr.GetClient()}
	annotated := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetAnnotations()[from] != "" })
	err = ctrl.NewControllerManagedBy(mgr).
		For(&appsv1.Deployment{}, builder.WithPredicates(annotated)).
		Owns(&corev1.ConfigMap{}).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(o.of)).
		Complete(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-late:
			t.Fatalf("it does not happen: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// create makes an object, as often as it takes in a cluster with faults.
func create(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	eventually(t, "create "+o.GetName(), func() bool {
		err := c.Create(t.Context(), o)
		return err == nil || apierrors.IsAlreadyExists(err)
	})
}

func deployment(name, source string) *appsv1.Deployment {
	match := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: match},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: match},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}
	if source != "" {
		d.Annotations = map[string]string{from: source}
	}
	return d
}

func source(color string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "source", Namespace: "default"}, Data: map[string]string{"color": color}}
}

func newClient(t *testing.T, c *rest.Config) client.Client {
	t.Helper()
	made, err := client.New(c, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// lifecycle takes a deployment through all that the operator does for it.
func lifecycle(t *testing.T, c client.Client) {
	t.Helper()
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	settings := types.NamespacedName{Namespace: "default", Name: "web-settings"}
	has := func(color string) func() bool {
		return func() bool {
			var got corev1.ConfigMap
			return c.Get(t.Context(), settings, &got) == nil && maps.Equal(got.Data, map[string]string{"color": color}) &&
				metav1.GetControllerOf(&got) != nil
		}
	}
	create(t, c, source("red"))
	create(t, c, deployment("web", "source"))
	create(t, c, deployment("plain", ""))
	eventually(t, "the settings are copied", has("red"))
	eventually(t, "the deployment is available, with our condition", func() bool {
		var d appsv1.Deployment
		return c.Get(t.Context(), web, &d) == nil && copied(&d) && d.Status.AvailableReplicas == 1
	})
	eventually(t, "change the source", func() bool { return c.Update(t.Context(), source("blue")) == nil })
	eventually(t, "the change is copied", has("blue"))
	eventually(t, "delete the copy", func() bool {
		err := c.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: settings.Name}})
		return err == nil || apierrors.IsNotFound(err)
	})
	eventually(t, "the copy is there again", has("blue"))
	eventually(t, "delete the deployment", func() bool {
		err := c.Delete(t.Context(), deployment("web", ""))
		return err == nil || apierrors.IsNotFound(err)
	})
	eventually(t, "deployment and settings are gone", func() bool {
		return apierrors.IsNotFound(c.Get(t.Context(), web, &appsv1.Deployment{})) &&
			apierrors.IsNotFound(c.Get(t.Context(), settings, &corev1.ConfigMap{}))
	})
	var plain appsv1.Deployment
	eventually(t, "read the other deployment", func() bool {
		return c.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "plain"}, &plain) == nil
	})
	if len(plain.Finalizers) != 0 || copied(&plain) {
		t.Errorf("the operator touched a deployment without its annotation: %v, %v", plain.Finalizers, plain.Status.Conditions)
	}
}

func TestOperator(t *testing.T) {
	c := skifftest.Start(t)
	run(t, c.Config())
	lifecycle(t, newClient(t, c.Config()))
}

// A store that fails makes the operator slower, and nothing wrong.
func TestOperatorWithFaults(t *testing.T) {
	c := skifftest.Start(t, skifftest.Faults(7, skifftest.Rates{Lost: 0.05, Unacknowledged: 0.05, Cut: 0.01}))
	run(t, c.Config())
	lifecycle(t, newClient(t, c.Config()))
}

// A second manager takes over when the first one gives its lease away.
func TestLeaderElection(t *testing.T) {
	c := skifftest.Start(t)
	clients := newClient(t, c.Config())
	holder := func() string {
		var lease coordinationv1.Lease
		err := clients.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: leaseName}, &lease)
		if err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	stop := run(t, c.Config())
	eventually(t, "the first manager leads", func() bool { return holder() != "" })
	first := holder()
	run(t, c.Config())
	stop()
	eventually(t, "the second manager leads", func() bool { return holder() != "" && holder() != first })
	lifecycle(t, clients)
}
