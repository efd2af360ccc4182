{{/* What the pods of services and jobs have in common. Takes root, values (of a service, or the defaults) and serviceAccount. */}}
{{- define "throughline.podCommon" -}}
{{- $v := .values -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $v.podSecurityContext | nindent 2 }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "schedulerName" "runtimeClassName" "dnsPolicy" "dnsConfig" "hostAliases" }}
{{- with get $v $key }}
{{ $key }}: {{ if kindIs "string" . }}{{ . | quote }}{{ else }}{{- toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
{{- if kindIs "bool" $v.hostUsers }}
hostUsers: {{ $v.hostUsers }}
{{- end }}
{{- end -}}

{{/* The pod template of a service. Takes root, name, service and needs, kafka, postgres. */}}
{{- define "throughline.podTemplate" -}}
{{- $s := .service -}}
{{- $root := .root -}}
{{- $on := dict "root" .root "component" .name -}}
{{- $files := include "throughline.files" . | fromYaml -}}
{{- $spool := and (has "webhooks" .needs) (eq $s.kind "StatefulSet") -}}
metadata:
  labels:
    {{- include "throughline.podLabels" $on | nindent 4 }}
    {{- with $s.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .name }}
    {{- if include "throughline.mappings" .root | fromYaml }}
    checksum/mappings: {{ include "throughline.mappings" .root | sha256sum }}
    {{- end }}
    {{- if and (has "alerts" .needs) .root.Values.alerts.rules }}
    checksum/alerts: {{ toYaml .root.Values.alerts.rules | sha256sum }}
    {{- end }}
    {{- with $s.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "throughline.podCommon" (dict "root" .root "values" $s "serviceAccount" (include "throughline.serviceAccount" .)) | nindent 2 }}
  terminationGracePeriodSeconds: {{ default (add $s.stopTimeoutSeconds 5) $s.terminationGracePeriodSeconds }}
  {{- with $s.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{- toYaml . | nindent 6 }}
      {{- if not (hasKey . "labelSelector") }}
      labelSelector:
        matchLabels:
          {{- include "throughline.selector" $on | nindent 10 }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with $s.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "throughline.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: [/usr/local/bin/{{ .name }}]
      {{- with $s.extraArgs }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "throughline.env" (dict "env" (include "throughline.serviceEnv" . | fromYaml) "files" $files.files "settings" $s.settings "pod" (eq $s.program.kind "StatefulSet") "extra" $s.extraEnv) | nindent 8 }}
      {{- with $s.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: admin, containerPort: 9090, protocol: TCP}
        {{- range $port, $number := $s.program.ports }}
        - {name: {{ $port }}, containerPort: {{ $number }}, protocol: TCP}
        {{- end }}
      {{- range $probe, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
      {{ $probe }}:
        httpGet: {path: {{ $path }}, port: admin}
        {{- with get $s.probes (trimSuffix "Probe" $probe) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with $s.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml $s.resources | nindent 8 }}
      securityContext:
        {{- toYaml $s.containerSecurityContext | nindent 8 }}
      {{- $mounts := concat $files.mounts $s.extraVolumeMounts }}
      {{- if $spool }}{{ $mounts = append $mounts (dict "name" "spool" "mountPath" "/var/lib/throughline") }}{{ end }}
      {{- with $mounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with $s.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with concat $files.volumes $s.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Takes root, name, service. */}}
{{- define "throughline.serviceAccount" -}}
{{- $a := .service.serviceAccount -}}
{{- if $a.name -}}{{ $a.name }}
{{- else if $a.create -}}{{ include "throughline.fullname" .root }}-{{ .name }}
{{- else -}}default
{{- end -}}
{{- end -}}

{{/* The mappings that are given as text, as YAML: file → text. */}}
{{- define "throughline.mappings" -}}
{{- $files := dict -}}
{{- range $name, $s := .Values.namedSources -}}
{{- if and $s.enabled $s.mapping }}{{ $_ := set $files (printf "%s.yaml" $name) $s.mapping }}{{ end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* Takes a Service's values. */}}
{{- define "throughline.ipFamilies" -}}
{{- with .ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
