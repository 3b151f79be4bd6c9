package openapi
import ("testing";"encoding/json";"os";"reflect";"fmt";"time";"strings"
metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
"k8s.io/apimachinery/pkg/runtime/schema")
func TestZZ(t *testing.T){
 var in map[string][]metav1.APIResource
 data,_:=os.ReadFile("/tmp/docs/disc.json"); json.Unmarshal(data,&in)
 res:=map[schema.GroupVersion][]metav1.APIResource{}
 for k,v:=range in { gv,_:=schema.ParseGroupVersion(k); res[gv]=v }
 start:=time.Now()
 s:=New(res,"1.37",time.Now())
 v3,err:=s.v3(); if err!=nil {t.Fatal(err)}
 t.Log("v3",time.Since(start)); start=time.Now()
 n,z:=0,0
 for k,p:=range v3.byPath { z+=len(p.zipped)
  have,_:=p.json(); want,err:=os.ReadFile("/tmp/docs/v3/"+strings.ReplaceAll(k,"/","__")+".json"); if err!=nil {t.Log("extra",k);continue}
  var h,w any; json.Unmarshal(have,&h); json.Unmarshal(want,&w)
  diff(k,h,w,&n)
 }
 files,_:=os.ReadDir("/tmp/docs/v3"); t.Log(len(files),len(v3.byPath),"zipped",z)
 start=time.Now()
 v2,err:=s.v2(); if err!=nil {t.Fatal(err)}
 t.Log("v2",time.Since(start),len(v2.zipped))
 have,_:=v2.json(); want,_:=os.ReadFile("/tmp/docs/v2.json")
  var h,w any; json.Unmarshal(have,&h); json.Unmarshal(want,&w)
  n=0; diff("v2",h,w,&n)
 start=time.Now(); b,err:=v2.protobuf(); t.Log("v2 pb",time.Since(start),len(b),err)
 start=time.Now(); b,err=v3.byPath["api/v1"].protobuf(); t.Log("v3 pb",time.Since(start),len(b),err)
}
func diff(at string,h,w any,n *int){
 if reflect.DeepEqual(h,w) {return}
 if *n>25 {return}
 hm,ok1:=h.(map[string]any); wm,ok2:=w.(map[string]any)
 if ok1&&ok2 { for k:=range wm { if _,ok:=hm[k];!ok { *n++; fmt.Println(at,"missing",k) } else {diff(at+" "+k,hm[k],wm[k],n)} }
  for k:=range hm { if _,ok:=wm[k];!ok { *n++; fmt.Println(at,"extra",k)} }; return }
 hl,ok1:=h.([]any); wl,ok2:=w.([]any)
 if ok1&&ok2&&len(hl)==len(wl) { for i:=range hl {diff(fmt.Sprint(at," ",i),hl[i],wl[i],n)}; return}
 *n++
 a,_:=json.Marshal(h);b,_:=json.Marshal(w); fmt.Printf("%s\n  have %.300s\n  want %.300s\n",at,a,b)
}
