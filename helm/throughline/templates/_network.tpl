{{/* The egress rules of a pod. Takes root and needs. */}}
{{- define "throughline.egress" -}}
{{- $v := .root.Values -}}
{{- $n := $v.networkPolicy -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  {{- with $n.dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if has "kafka" .needs }}
{{- $ports := list -}}
{{- range splitList "," (include "throughline.brokers" .root) }}{{ $ports = append $ports (regexFind "[0-9]+$" . | int) }}{{ end }}
{{- include "throughline.egressRule" (dict "to" $n.kafka.to "ports" (default (uniq $ports) $n.kafka.ports)) }}
{{- end }}
{{- if has "postgres" .needs }}
{{- include "throughline.egressRule" (dict "to" $n.postgres.to "ports" $n.postgres.ports) }}
{{- end }}
{{- if has "registry" .needs }}
{{- include "throughline.egressRule" (dict "to" $n.schemaRegistry.to "ports" (list (include "throughline.port" $v.schemaRegistry.url | int))) }}
{{- end }}
{{- if has "apis" .needs }}
{{- include "throughline.egressRule" (dict "to" $n.apis.to "ports" $n.apis.ports) }}
{{- end }}
{{- if has "alerts" .needs }}
{{- include "throughline.egressRule" (dict "to" $n.alerts.to "ports" $n.alerts.ports) }}
{{- end }}
{{- if and (has "signin" .needs) (eq $v.services.console.login "oidc") }}
{{- include "throughline.egressRule" (dict "to" $n.oidc.to "ports" (list (include "throughline.port" $v.services.console.oidc.issuer | int))) }}
{{- end }}
{{- if and (has "signin" .needs) $v.services.receiver.enabled }}
- ports: [{port: 9090, protocol: TCP}]
  to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: {{ include "throughline.name" .root }}
          app.kubernetes.io/instance: {{ .root.Release.Name }}
          app.kubernetes.io/component: receiver
{{- end }}
{{- if has "admin" .needs }}
- ports: [{port: 9090, protocol: TCP}]
  to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: {{ include "throughline.name" .root }}
          app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}
{{- if and (has "process" .needs) (or $v.traces.endpoint $v.traces.existingSecret) }}
{{- include "throughline.egressRule" (dict "to" $n.traces.to "ports" (list (include "throughline.port" (default "http://collector:4318" $v.traces.endpoint) | int))) }}
{{- end }}
{{- with $n.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "throughline.egressRule" }}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The port of an address. */}}
{{- define "throughline.port" -}}
{{- $u := urlParse . -}}
{{- default (ternary "443" "80" (eq $u.scheme "https")) (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $u.host)) -}}
{{- end -}}
