{{/* All of these take root, name (a service or a job), needs, and kafka and postgres (its own credentials). */}}

{{/* Its Kafka user, as YAML: user, secret, key, mechanism; empty without SASL. */}}
{{- define "throughline.kafkaUser" -}}
{{- $k := .root.Values.kafka.sasl -}}
{{- $own := default dict .kafka -}}
{{- if or $own.user $own.existingSecret -}}
{{- toYaml (dict "user" (default $k.user $own.user) "secret" (default $k.existingSecret $own.existingSecret) "key" (default $k.key $own.key) "mechanism" (default "scram-sha-512" $k.mechanism)) -}}
{{- else if .root.Values.strimzi.users.enabled -}}
{{- $user := printf "%s-%s" (include "throughline.fullname" .root) .name -}}
{{- toYaml (dict "user" $user "secret" $user "key" "password" "mechanism" "scram-sha-512") -}}
{{- else if $k.mechanism -}}
{{- toYaml (dict "user" $k.user "secret" $k.existingSecret "key" $k.key "mechanism" $k.mechanism) -}}
{{- end -}}
{{- end -}}

{{/* Its database address, as YAML: secret, key, direct. */}}
{{- define "throughline.database" -}}
{{- $p := .root.Values.postgres -}}
{{- $own := default dict .postgres -}}
{{- if $own.existingSecret -}}
{{- toYaml (dict "secret" $own.existingSecret "key" (default $p.key $own.key) "direct" (default "" $own.directURLKey)) -}}
{{- else if and .root.Values.cnpg.enabled (not $p.existingSecret) -}}
{{- toYaml (dict "secret" (printf "%s-db-app" (include "throughline.fullname" .root)) "key" "uri" "direct" "") -}}
{{- else -}}
{{- toYaml (dict "secret" $p.existingSecret "key" $p.key "direct" $p.directURLKey) -}}
{{- end -}}
{{- end -}}

{{/* The Secrets that it reads as files, as YAML: a list of env, secret, key, path. */}}
{{- define "throughline.secretFiles" -}}
{{- $v := .root.Values -}}
{{- $files := list -}}
{{- if has "kafka" .needs -}}
{{- with include "throughline.kafkaUser" . | fromYaml -}}
{{- $files = append $files (dict "env" "THROUGHLINE_KAFKA_PASSWORD_FILE" "secret" .secret "key" .key "path" "kafka-password") -}}
{{- end -}}
{{- $client := default $v.kafka.tls.clientSecret (default dict .kafka).clientSecret -}}
{{- if and $v.kafka.tls.enabled $client -}}
{{- $files = append $files (dict "env" "THROUGHLINE_KAFKA_CERT_FILE" "secret" $client "key" "tls.crt" "path" "kafka-client.crt") -}}
{{- $files = append $files (dict "env" "THROUGHLINE_KAFKA_KEY_FILE" "secret" $client "key" "tls.key" "path" "kafka-client.key") -}}
{{- end -}}
{{- if and $v.kafka.tls.enabled (include "throughline.kafkaCA" .root) -}}
{{- $files = append $files (dict "env" "THROUGHLINE_KAFKA_CA_FILE" "secret" (include "throughline.kafkaCA" .root) "key" $v.kafka.tls.caKey "path" "kafka-ca.crt") -}}
{{- end -}}
{{- end -}}
{{- if has "postgres" .needs -}}
{{- $db := include "throughline.database" . | fromYaml -}}
{{- $files = append $files (dict "env" "THROUGHLINE_POSTGRES_URL_FILE" "secret" $db.secret "key" $db.key "path" "postgres-url") -}}
{{- if $db.direct -}}
{{- $files = append $files (dict "env" "THROUGHLINE_POSTGRES_DIRECT_URL_FILE" "secret" $db.secret "key" $db.direct "path" "postgres-direct-url") -}}
{{- end -}}
{{- end -}}
{{- if and (has "registry" .needs) $v.schemaRegistry.existingSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_SCHEMA_REGISTRY_PASSWORD_FILE" "secret" $v.schemaRegistry.existingSecret "key" $v.schemaRegistry.key "path" "schema-registry-password") -}}
{{- end -}}
{{- if and (has "registry" .needs) $v.schemaRegistry.caSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_SCHEMA_REGISTRY_CA_FILE" "secret" $v.schemaRegistry.caSecret "key" $v.schemaRegistry.caKey "path" "schema-registry-ca.crt") -}}
{{- end -}}
{{- if and (has "registry" .needs) $v.schemaRegistry.clientSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_SCHEMA_REGISTRY_CERT_FILE" "secret" $v.schemaRegistry.clientSecret "key" "tls.crt" "path" "schema-registry-client.crt") -}}
{{- $files = append $files (dict "env" "THROUGHLINE_SCHEMA_REGISTRY_KEY_FILE" "secret" $v.schemaRegistry.clientSecret "key" "tls.key" "path" "schema-registry-client.key") -}}
{{- end -}}
{{- if and (has "process" .needs) $v.traces.existingSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_OTLP_ENDPOINT_FILE" "secret" $v.traces.existingSecret "key" $v.traces.key "path" "otlp-endpoint") -}}
{{- end -}}
{{- if has "apis" .needs -}}
{{- range $name, $api := $v.apis -}}
{{- $files = append $files (dict "env" (printf "%s_API_KEY_FILE" (include "throughline.sourceVariable" $name)) "secret" $api.existingSecret "key" (default "api-key" $api.key) "path" (printf "%s-api-key" $name)) -}}
{{- end -}}
{{- end -}}
{{- if and (has "alerts" .needs) $v.alerts.existingSecret -}}
{{- range $key := $v.alerts.keys -}}
{{- $files = append $files (dict "env" (printf "THROUGHLINE_ALERTS_%s_FILE" ($key | replace "-" "_" | upper)) "secret" $v.alerts.existingSecret "key" $key "path" (printf "alerts-%s" $key)) -}}
{{- end -}}
{{- end -}}
{{- if has "signin" .needs -}}
{{- with $v.services.console.tls.existingSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_CONSOLE_TLS_CERT_FILE" "secret" . "key" "tls.crt" "path" "console.crt") -}}
{{- $files = append $files (dict "env" "THROUGHLINE_CONSOLE_TLS_KEY_FILE" "secret" . "key" "tls.key" "path" "console.key") -}}
{{- end -}}
{{- $oidc := $v.services.console.oidc -}}
{{- if and (eq $v.services.console.login "oidc") $oidc.existingSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_OIDC_CLIENT_SECRET_FILE" "secret" $oidc.existingSecret "key" $oidc.key "path" "oidc-client-secret") -}}
{{- end -}}
{{- end -}}
{{- if has "webhooks" .needs -}}
{{- with $v.services.receiver.tls.existingSecret -}}
{{- $files = append $files (dict "env" "THROUGHLINE_RECEIVER_TLS_CERT_FILE" "secret" . "key" "tls.crt" "path" "receiver.crt") -}}
{{- $files = append $files (dict "env" "THROUGHLINE_RECEIVER_TLS_KEY_FILE" "secret" . "key" "tls.key" "path" "receiver.key") -}}
{{- end -}}
{{- range $name, $s := include "throughline.sources" .root | fromYaml -}}
{{- $files = append $files (dict "env" (printf "%s_SECRETS_FILE" (include "throughline.sourceVariable" $name)) "secret" $s.existingSecret "key" (default "secrets" $s.key) "path" (printf "%s-secrets" $name)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- define "throughline.kafkaCA" -}}
{{- if .Values.kafka.tls.caSecret -}}{{ .Values.kafka.tls.caSecret }}
{{- else if .Values.strimzi.cluster -}}{{ .Values.strimzi.cluster }}-cluster-ca-cert
{{- end -}}
{{- end -}}

{{- define "throughline.sourceVariable" -}}THROUGHLINE_{{ . | replace "-" "_" | upper }}{{- end -}}

{{/* The ConfigMaps that it reads as files, as YAML: a list of env, configMap, key, path. */}}
{{- define "throughline.configFiles" -}}
{{- $v := .root.Values -}}
{{- $root := .root -}}
{{- $files := list -}}
{{- if and (has "resolve" .needs) $v.resolve.freemailConfigMap -}}
{{- $files = append $files (dict "env" "THROUGHLINE_FREEMAIL_FILE" "configMap" $v.resolve.freemailConfigMap "key" $v.resolve.freemailKey "path" "freemail.txt") -}}
{{- end -}}
{{- if and (has "alerts" .needs) $v.alerts.rules -}}
{{- $files = append $files (dict "env" "THROUGHLINE_ALERTS_RULES" "configMap" (printf "%s-alerts" (include "throughline.fullname" $root)) "key" "rules.yaml" "path" "alerts-rules.yaml") -}}
{{- end -}}
{{- if or (has "webhooks" .needs) (has "sources" .needs) -}}
{{- range $name, $s := include "throughline.sources" .root | fromYaml -}}
{{- $env := printf "%s_MAPPING" (include "throughline.sourceVariable" $name) -}}
{{- if $s.mapping -}}
{{- $files = append $files (dict "env" $env "configMap" (printf "%s-mappings" (include "throughline.fullname" $root)) "key" (printf "%s.yaml" $name) "path" (printf "%s-mapping.yaml" $name)) -}}
{{- else if $s.mappingConfigMap -}}
{{- $files = append $files (dict "env" $env "configMap" $s.mappingConfigMap "key" "mapping.yaml" "path" (printf "%s-mapping.yaml" $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* Variables of the connections and sources, as YAML: a map of name to value. */}}
{{- define "throughline.connectionEnv" -}}
{{- $v := .root.Values -}}
{{- $env := dict -}}
{{- if has "kafka" .needs -}}
{{- $_ := set $env "THROUGHLINE_KAFKA_BROKERS" (include "throughline.brokers" .root) -}}
{{- with $v.kafka.prefix }}{{ $_ := set $env "THROUGHLINE_KAFKA_PREFIX" . }}{{ end -}}
{{- if $v.kafka.tls.enabled }}{{ $_ := set $env "THROUGHLINE_KAFKA_TLS" "true" }}{{ end -}}
{{- with include "throughline.kafkaUser" . | fromYaml -}}
{{- $_ := set $env "THROUGHLINE_KAFKA_SASL_MECHANISM" .mechanism -}}
{{- $_ := set $env "THROUGHLINE_KAFKA_USER" .user -}}
{{- end -}}
{{- end -}}
{{- if has "postgres" .needs -}}
{{- $_ := set $env "THROUGHLINE_POSTGRES_MAX_CONNS" ($v.postgres.maxConns | int | toString) -}}
{{- end -}}
{{- if has "registry" .needs -}}
{{- $_ := set $env "THROUGHLINE_SCHEMA_REGISTRY_URL" $v.schemaRegistry.url -}}
{{- with $v.schemaRegistry.user }}{{ $_ := set $env "THROUGHLINE_SCHEMA_REGISTRY_USER" . }}{{ end -}}
{{- end -}}
{{- if has "resolve" .needs -}}
{{- $_ := set $env "THROUGHLINE_RESOLVE_RULES" (join "," $v.resolve.rules) -}}
{{- end -}}
{{- $named := list -}}
{{- range $name, $s := $v.namedSources -}}
{{- if $s.enabled }}{{ $named = append $named (printf "%s=%s" $name $s.format) }}{{ end -}}
{{- end -}}
{{- if and $named (or (has "webhooks" .needs) (has "sources" .needs)) -}}
{{- $_ := set $env "THROUGHLINE_NAMED_SOURCES" (join "," $named) -}}
{{- end -}}
{{- if or (has "webhooks" .needs) (has "sources" .needs) -}}
{{- range $name, $s := include "throughline.sources" .root | fromYaml -}}
{{- $prefix := include "throughline.sourceVariable" $name -}}
{{- with $s.tenant }}{{ $_ := set $env (printf "%s_TENANT" $prefix) . }}{{ end -}}
{{- with $s.testData }}{{ $_ := set $env (printf "%s_TEST_DATA" $prefix) . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if has "alerts" .needs -}}
{{- if and $v.services.console.enabled $v.services.console.publicURL }}{{ $_ := set $env "THROUGHLINE_ALERTS_CONSOLE_URL" $v.services.console.publicURL }}{{ end -}}
{{- range $name, $value := $v.alerts.settings }}{{ $_ := set $env $name $value }}{{ end -}}
{{- end -}}
{{- if has "apis" .needs -}}
{{- range $name, $api := $v.apis -}}
{{- with $api.url }}{{ $_ := set $env (printf "%s_API_URL" (include "throughline.sourceVariable" $name)) . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if has "webhooks" .needs -}}
{{- $sources := include "throughline.sources" .root | fromYaml -}}
{{- $_ := set $env "THROUGHLINE_SOURCES" (join "," (keys $sources | sortAlpha)) -}}
{{- range $name, $s := $sources -}}
{{- with default $v.publicURL $s.publicURL }}{{ $_ := set $env (printf "%s_PUBLIC_URL" (include "throughline.sourceVariable" $name)) . }}{{ end -}}
{{- with $s.maxRate }}{{ $_ := set $env (printf "%s_MAX_RATE" (include "throughline.sourceVariable" $name)) (. | toString) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* A service's variables, as YAML: a map of name to value. Takes service besides. */}}
{{- define "throughline.serviceEnv" -}}
{{- $v := .root.Values -}}
{{- $s := .service -}}
{{- $env := include "throughline.connectionEnv" . | fromYaml -}}
{{- $_ := set $env "THROUGHLINE_ADMIN_ADDR" ":9090" -}}
{{- $_ := set $env "THROUGHLINE_LOG_LEVEL" $v.log.level -}}
{{- $_ := set $env "THROUGHLINE_LOG_FORMAT" $v.log.format -}}
{{- $_ := set $env "THROUGHLINE_MEMORY_LIMIT" "0" -}}
{{- $_ := set $env "THROUGHLINE_SHUTDOWN_TIMEOUT" (printf "%ds" (int $s.stopTimeoutSeconds)) -}}
{{- if or $v.traces.endpoint $v.traces.existingSecret -}}
{{- $_ := set $env "THROUGHLINE_TRACE_RATIO" ($v.traces.ratio | toString) -}}
{{- with $v.traces.endpoint }}{{ $_ := set $env "THROUGHLINE_OTLP_ENDPOINT" . }}{{ end -}}
{{- end -}}
{{- if has "webhooks" .needs -}}
{{- $_ := set $env "THROUGHLINE_RECEIVER_LISTEN" (printf ":%d" (int $s.program.ports.http)) -}}
{{- $_ := set $env "THROUGHLINE_DRAIN_DELAY" (printf "%ds" (int $s.drainDelaySeconds)) -}}
{{- with $s.trustedProxies }}{{ $_ := set $env "THROUGHLINE_TRUSTED_PROXIES" (join "," .) }}{{ end -}}
{{- if eq (include "throughline.spooled" .root) "true" -}}
{{- $_ := set $env "THROUGHLINE_SPOOL_DIR" "/var/lib/throughline/spool" -}}
{{- $_ := set $env "THROUGHLINE_SPOOL_BYTES" $s.spool.bytes -}}
{{- end -}}
{{- end -}}
{{- if has "signin" .needs -}}
{{- $_ := set $env "THROUGHLINE_CONSOLE_LISTEN" (printf ":%d" (int $s.program.ports.http)) -}}
{{- $_ := set $env "THROUGHLINE_CONSOLE_PUBLIC_URL" $s.publicURL -}}
{{- $_ := set $env "THROUGHLINE_CONSOLE_LOGIN" $s.login -}}
{{- if $v.services.receiver.enabled }}{{ $_ := set $env "THROUGHLINE_CONSOLE_RECEIVER_METRICS" (printf "http://%s-receiver-admin:9090/metrics" (include "throughline.fullname" .root)) }}{{ end -}}
{{- if eq $s.login "oidc" -}}
{{- $_ := set $env "THROUGHLINE_OIDC_ISSUER" $s.oidc.issuer -}}
{{- $_ := set $env "THROUGHLINE_OIDC_CLIENT_ID" $s.oidc.clientId -}}
{{- $_ := set $env "THROUGHLINE_OIDC_SCOPES" (join "," $s.oidc.scopes) -}}
{{- $_ := set $env "THROUGHLINE_OIDC_GROUPS_CLAIM" $s.oidc.groupsClaim -}}
{{- range $role := list "admin" "operator" "viewer" -}}
{{- /* A group's name may have commas in it: cn=ops,dc=example. */ -}}
{{- $groups := list -}}
{{- range get $s.oidc (printf "%sGroups" $role) }}{{ $groups = append $groups (. | replace "," "\\,") }}{{ end -}}
{{- with $groups }}{{ $_ := set $env (printf "THROUGHLINE_OIDC_%s_GROUPS" (upper $role)) (join "," .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .name "normalizer" }}{{ $_ := set $env "THROUGHLINE_NORMALIZER_WORKERS" ($s.workers | int | toString) }}{{ end -}}
{{- if eq .name "sink" -}}
{{- $_ := set $env "THROUGHLINE_SINK_WRITERS" ($s.writers | int | toString) -}}
{{- if eq $v.migrations.mode "app" }}{{ $_ := set $env "THROUGHLINE_SINK_MIGRATE" "true" }}{{ end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* The env: list of a container. Takes env (a map), settings (a map laid over it), files, pod (name the instance by the pod), extra. */}}
{{- define "throughline.env" -}}
{{- $env := dict -}}
{{- range $name, $value := .env }}{{ $_ := set $env $name (dict "name" $name "value" ($value | toString)) }}{{ end -}}
{{- range .files }}{{ $_ := set $env .env (dict "name" .env "value" (printf "/etc/throughline/%s/%s" .dir .path)) }}{{ end -}}
{{- range $name, $value := .settings }}{{ $_ := set $env $name (dict "name" $name "value" ($value | toString)) }}{{ end -}}
{{- if .pod -}}
{{- $_ := set $env "THROUGHLINE_KAFKA_INSTANCE_ID" (dict "name" "THROUGHLINE_KAFKA_INSTANCE_ID" "valueFrom" (dict "fieldRef" (dict "apiVersion" "v1" "fieldPath" "metadata.name"))) -}}
{{- end -}}
{{- $list := list -}}
{{- range keys $env | sortAlpha }}{{ $list = append $list (get $env .) }}{{ end -}}
{{- range .extra }}{{ $list = append $list . }}{{ end -}}
{{- toYaml $list -}}
{{- end -}}

{{/* The volumes of its files, and their mounts: a dict with volumes, mounts and files (each with its dir), as YAML. */}}
{{- define "throughline.files" -}}
{{- $volumes := list -}}
{{- $mounts := list -}}
{{- $files := list -}}
{{- $secrets := include "throughline.secretFiles" . | fromYamlArray -}}
{{- $configs := include "throughline.configFiles" . | fromYamlArray -}}
{{- $postgres := default .root.Values.postgres.tlsSecret (default dict .postgres).tlsSecret -}}
{{- if and (has "postgres" .needs) $postgres -}}
{{- $volumes = append $volumes (dict "name" "postgres-tls" "secret" (dict "secretName" $postgres "defaultMode" 288)) -}}
{{- $mounts = append $mounts (dict "name" "postgres-tls" "mountPath" "/etc/throughline/postgres" "readOnly" true) -}}
{{- end -}}
{{- if $secrets -}}
{{- $sources := list -}}
{{- range $secrets -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" (list (dict "key" .key "path" .path)))) -}}
{{- $files = append $files (dict "env" .env "path" .path "dir" "secrets") -}}
{{- end -}}
{{- $volumes = append $volumes (dict "name" "secrets" "projected" (dict "defaultMode" 288 "sources" $sources)) -}}
{{- $mounts = append $mounts (dict "name" "secrets" "mountPath" "/etc/throughline/secrets" "readOnly" true) -}}
{{- end -}}
{{- if $configs -}}
{{- $sources := list -}}
{{- range $configs -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .configMap "items" (list (dict "key" .key "path" .path)))) -}}
{{- $files = append $files (dict "env" .env "path" .path "dir" "config") -}}
{{- end -}}
{{- $volumes = append $volumes (dict "name" "config" "projected" (dict "sources" $sources)) -}}
{{- $mounts = append $mounts (dict "name" "config" "mountPath" "/etc/throughline/config" "readOnly" true) -}}
{{- end -}}
{{- toYaml (dict "volumes" $volumes "mounts" $mounts "files" $files) -}}
{{- end -}}
