{{/* The jobs that run, as YAML: name → what they need. */}}
{{- define "throughline.jobs" -}}
{{- $jobs := dict -}}
{{- if has .Values.migrations.mode (list "hook" "job") }}{{ $_ := set $jobs "migrate" (list "postgres") }}{{ end -}}
{{- if and (has .Values.topics.mode (list "hook" "job")) (not .Values.strimzi.topics.enabled) }}{{ $_ := set $jobs "topics" (list "kafka") }}{{ end -}}
{{- if .Values.doctor.enabled -}}
{{- $needs := list "postgres" "registry" "admin" -}}
{{- if or .Values.doctor.kafka.user (not .Values.strimzi.users.enabled) }}{{ $needs = append $needs "kafka" }}{{ end -}}
{{- $_ := set $jobs "doctor" $needs -}}
{{- end -}}
{{- range $name, $job := .Values.cronJobs -}}
{{- if $job.enabled }}{{ $_ := set $jobs $name $job.needs }}{{ end -}}
{{- end -}}
{{- toYaml $jobs -}}
{{- end -}}

{{/* The variable of the named sources, where there are some, as YAML. */}}
{{- define "throughline.namedEnv" -}}
{{- $named := list -}}
{{- range $name, $s := .Values.namedSources -}}
{{- if $s.enabled }}{{ $named = append $named (printf "%s=%s" $name $s.format) }}{{ end -}}
{{- end -}}
{{- with $named }}{{ toYaml (dict "THROUGHLINE_NAMED_SOURCES" (join "," .)) }}{{ end -}}
{{- end -}}

{{/* The annotations that make an object of a job a hook, or none. Takes root, job and weight. */}}
{{- define "throughline.hook" -}}
{{- $mode := "" -}}
{{- if eq .job "migrate" }}{{ $mode = .root.Values.migrations.mode }}{{ end -}}
{{- if eq .job "topics" }}{{ $mode = .root.Values.topics.mode }}{{ end -}}
{{- if eq $mode "hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: {{ default "before-hook-creation" .delete }}
{{- end -}}
{{- end -}}

{{/* A container of a job. Takes what jobPod does, container (name and args), fileSet and base. */}}
{{- define "throughline.jobContainer" -}}
{{- $d := .root.Values.defaults -}}
- name: {{ .container.name }}
  image: {{ include "throughline.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [/usr/local/bin/throughline]
  args:
    {{- toYaml .container.args | nindent 4 }}
  env:
    {{- include "throughline.env" (dict "env" (mustMergeOverwrite (deepCopy .base) (default dict .env)) "files" .fileSet.files "extra" $d.extraEnv) | nindent 4 }}
  {{- with $d.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml (default .root.Values.migrations.resources .resources) | nindent 4 }}
  securityContext:
    {{- toYaml $d.containerSecurityContext | nindent 4 }}
  {{- with concat .fileSet.mounts $d.extraVolumeMounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The pod template of a job. Takes root, name, args, needs, kafka, postgres, and optionally
     env and then: name and args of a container that runs after the first has succeeded. */}}
{{- define "throughline.jobPod" -}}
{{- $d := .root.Values.defaults -}}
{{- $files := include "throughline.files" . | fromYaml -}}
{{- $env := include "throughline.connectionEnv" . | fromYaml -}}
metadata:
  labels:
    {{- include "throughline.podLabels" (dict "root" .root "component" .name) | nindent 4 }}
    {{- with $d.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $d.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "throughline.podCommon" (dict "root" .root "values" $d "serviceAccount" "default") | nindent 2 }}
  restartPolicy: Never
  {{- $last := dict "name" .name "args" .args }}
  {{- with .then }}
  {{- $last = . }}
  initContainers:
    {{- include "throughline.jobContainer" (mustMergeOverwrite (dict "container" (dict "name" $.name "args" $.args) "fileSet" $files "base" $env) $) | nindent 4 }}
  {{- end }}
  containers:
    {{- include "throughline.jobContainer" (mustMergeOverwrite (dict "container" $last "fileSet" $files "base" $env) $) | nindent 4 }}
  {{- with concat $files.volumes $d.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A Job. Takes what jobPod does, mode, weight and annotations. A plain Job's name has
     the version and a hash of all that it is made of, because a Job's template can't be changed. */}}
{{- define "throughline.job" -}}
{{- $m := .root.Values.migrations -}}
{{- $pod := include "throughline.jobPod" . -}}
{{- $name := .name -}}
{{- if eq .mode "job" -}}
{{- $name = printf "%s-%s" .name (sha256sum $pod | trunc 8) -}}
{{- end -}}
{{- $hook := include "throughline.hook" (dict "root" .root "job" .name "weight" .weight "delete" "before-hook-creation,hook-succeeded") | fromYaml -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "throughline.metadata" (dict "root" .root "component" .name "name" $name "annotations" (mustMergeOverwrite $hook .annotations)) | nindent 2 }}
spec:
  backoffLimit: {{ $m.backoffLimit }}
  activeDeadlineSeconds: {{ $m.activeDeadlineSeconds }}
  {{- if and (eq .mode "job") (not (kindIs "invalid" $m.ttlSecondsAfterFinished)) }}
  ttlSecondsAfterFinished: {{ $m.ttlSecondsAfterFinished }}
  {{- end }}
  template:
    {{- $pod | nindent 4 }}
{{- end -}}
