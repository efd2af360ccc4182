{{- define "throughline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "throughline.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = ternary .Release.Name (printf "%s-%s" .Release.Name (include "throughline.name" .)) (contains (include "throughline.name" .) .Release.Name) -}}
{{- end -}}
{{- /* A long name is cut, and told from another that begins alike. */ -}}
{{- if gt (len $name) 40 -}}{{ printf "%s-%s" (trunc 31 $name | trimSuffix "-") (sha256sum $name | trunc 8) }}{{- else -}}{{ $name }}{{- end -}}
{{- end -}}

{{- define "throughline.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "throughline.image" -}}
{{- $i := .Values.image -}}
{{- $repository := ternary (printf "%s/%s" $i.registry $i.repository) $i.repository (ne $i.registry "") -}}
{{- if $i.digest -}}{{ $repository }}@{{ $i.digest }}{{- else -}}{{ $repository }}:{{ default .Chart.AppVersion $i.tag }}{{- end -}}
{{- end -}}

{{/* What a selector goes by. Takes (dict "root" $ "component" name). */}}
{{- define "throughline.selector" -}}
app.kubernetes.io/name: {{ include "throughline.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "throughline.labels" -}}
{{ include "throughline.selector" . }}
app.kubernetes.io/version: {{ default .root.Chart.AppVersion .root.Values.image.tag | quote }}
app.kubernetes.io/part-of: throughline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: the chart's version is not among them, so that a new chart alone restarts nothing. */}}
{{- define "throughline.podLabels" -}}
{{ include "throughline.selector" . }}
app.kubernetes.io/version: {{ default .root.Chart.AppVersion .root.Values.image.tag | quote }}
app.kubernetes.io/part-of: throughline
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object. Takes root, component, and optionally name (a suffix), labels, annotations. */}}
{{- define "throughline.metadata" -}}
name: {{ include "throughline.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ include "throughline.namespace" .root }}
labels:
  {{- include "throughline.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := mustMergeOverwrite (deepCopy .root.Values.commonAnnotations) (default dict .annotations) }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* over laid over under, as YAML, a map at a time. Unlike merge it keeps false, 0 and "", and null removes a key. */}}
{{- define "throughline.overlay" -}}
{{- $out := deepCopy .under -}}
{{- range $key, $value := .over -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $out $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $out $key)) $value -}}
{{- $_ := set $out $key (include "throughline.overlay" (dict "under" (get $out $key) "over" $value) | fromYaml) -}}
{{- else if or (not (kindIs "map" $value)) $value (not (hasKey $out $key)) -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* The services that run, as YAML: name → its values over the defaults, with what the program is under "program". */}}
{{- define "throughline.services" -}}
{{- $all := dict -}}
{{- range $name, $program := .Files.Get "files/services.yaml" | fromYaml -}}
{{- $own := get $.Values.services $name -}}
{{- if and $own $own.enabled -}}
{{- $s := include "throughline.overlay" (dict "under" $.Values.defaults "over" $own) | fromYaml -}}
{{- $_ := set $s "program" $program -}}
{{- $kind := $program.kind -}}
{{- if and (has "webhooks" $program.needs) (eq (include "throughline.spooled" $) "true") -}}
{{- $kind = "StatefulSet" -}}
{{- end -}}
{{- $_ := set $s "kind" $kind -}}
{{- $_ := set $all $name $s -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The sources that are on, as YAML: name → its values, with format for a named one. */}}
{{- define "throughline.sources" -}}
{{- $on := dict -}}
{{- range $all := list .Values.sources .Values.namedSources -}}
{{- range $name, $s := $all -}}
{{- if $s.enabled -}}{{- $_ := set $on $name $s -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $on -}}
{{- end -}}

{{/* "true" when a source that is on never sends twice. */}}
{{- define "throughline.spooled" -}}
{{- $vendors := (.Files.Get "files/sources.yaml" | fromYaml).vendors -}}
{{- range $name, $s := include "throughline.sources" . | fromYaml -}}
{{- if (get $vendors $name | default dict).spool -}}true{{- break -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when objects of an API may be rendered. Takes root, mode (renderMode), api and what. */}}
{{- define "throughline.hasAPI" -}}
{{- if or (eq .mode "alwaysRender") (.root.Capabilities.APIVersions.Has .api) -}}true
{{- else if eq .mode "failIfMissing" -}}
{{- fail (printf "%s needs the API %s, which this cluster does not have: install its operator, or set monitoring.renderMode to skipIfMissing" .what .api) -}}
{{- end -}}
{{- end -}}

{{/* The brokers, comma separated. */}}
{{- define "throughline.brokers" -}}
{{- if .Values.kafka.brokers -}}
{{- join "," .Values.kafka.brokers -}}
{{- else if .Values.strimzi.cluster -}}
{{- $namespace := default (include "throughline.namespace" .) .Values.strimzi.namespace -}}
{{- printf "%s-kafka-bootstrap.%s.svc:%d" .Values.strimzi.cluster $namespace (ternary 9093 9092 .Values.kafka.tls.enabled) -}}
{{- end -}}
{{- end -}}

{{/* The hours of a duration like 336h. */}}
{{- define "throughline.hours" -}}{{ trimSuffix "h" . }}{{- end -}}
