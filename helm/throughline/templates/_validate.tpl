{{/* Keys that other charts or older versions have: what to set instead. */}}
{{- define "throughline.deprecated" -}}
replicaCount: services.<name>.replicas, or defaults.replicas
replicas: services.<name>.replicas, or defaults.replicas
autoscaling: services.<name>.autoscaling.mode (none, hpa, keda or external)
ingress: expose.webhooks.mode ingress
httpRoute: expose.webhooks.mode httpRoute
gateway: expose.webhooks.mode httpRoute
serviceMonitor: monitoring.monitor serviceMonitor
podMonitor: monitoring.monitor podMonitor
prometheusRule: monitoring.rules
resources: defaults.resources, or services.<name>.resources
nodeSelector: defaults.nodeSelector
tolerations: defaults.tolerations
affinity: defaults.affinity
podAnnotations: defaults.podAnnotations
podLabels: defaults.podLabels
podSecurityContext: defaults.podSecurityContext
securityContext: defaults.containerSecurityContext
extraEnv: defaults.extraEnv
env: defaults.settings, or defaults.extraEnv
serviceAccount: defaults.serviceAccount
secrets: sources.<name>.existingSecret, postgres.existingSecret and kafka.sasl.existingSecret
postgresql: postgres.existingSecret; the chart installs no database, but see cnpg
registry: schemaRegistry
extraDeploy: extraObjects
{{- end -}}

{{/* Fails with every problem of the values, one a line, each with the key to change. */}}
{{- define "throughline.validate" -}}
{{- $problems := list -}}
{{- range $old, $new := include "throughline.deprecated" . | fromYaml -}}
{{- if hasKey $.Values $old }}{{ $problems = append $problems (printf "%s is no value of this chart: set %s" $old $new) }}{{ end -}}
{{- end -}}
{{- $problems = concat $problems (include "throughline.problemsOfConnections" . | fromYamlArray) -}}
{{- $problems = concat $problems (include "throughline.problemsOfSources" . | fromYamlArray) -}}
{{- $problems = concat $problems (include "throughline.problemsOfServices" . | fromYamlArray) -}}
{{- $problems = concat $problems (include "throughline.problemsOfOrder" . | fromYamlArray) -}}
{{- if $problems -}}
{{- fail (printf "\n%s" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "throughline.problemsOfConnections" -}}
{{- $v := .Values -}}
{{- $p := list -}}
{{- if eq $v.image.tag "latest" }}{{ $p = append $p "image.tag is latest, which is another image tomorrow: name a version, or leave it empty" }}{{ end -}}
{{- if not (include "throughline.brokers" .) }}{{ $p = append $p "kafka.brokers is empty: set it to your brokers, like kafka-0:9092, or strimzi.cluster to the name of Strimzi's" }}{{ end -}}
{{- range $v.kafka.brokers -}}
{{- if not (regexMatch "^(\\[[0-9A-Fa-f:]+\\]|[^:/\\s]+):[0-9]+$" .) }}{{ $p = append $p (printf "kafka.brokers has %q: a broker is host:port" .) }}{{ end -}}
{{- end -}}
{{- if $v.kafka.sasl.mechanism -}}
{{- if not $v.kafka.sasl.user }}{{ $p = append $p "kafka.sasl.user is empty: set it, or leave kafka.sasl.mechanism empty" }}{{ end -}}
{{- if and (eq $v.kafka.sasl.mechanism "plain") (not $v.kafka.tls.enabled) }}{{ $p = append $p "kafka.sasl.mechanism is plain, which sends the password in the clear: set kafka.tls.enabled, or take scram-sha-512" }}{{ end -}}
{{- if not $v.kafka.sasl.existingSecret }}{{ $p = append $p "kafka.sasl.existingSecret is empty: name the Secret that holds the password" }}{{ end -}}
{{- end -}}
{{- if and $v.kafka.tls.clientSecret (not $v.kafka.tls.enabled) }}{{ $p = append $p "kafka.tls.clientSecret is set but kafka.tls.enabled is not: a client certificate needs TLS" }}{{ end -}}
{{- if and (not $v.postgres.existingSecret) (not $v.cnpg.enabled) }}{{ $p = append $p "postgres.existingSecret is empty: name the Secret that holds postgres://user:password@host:5432/database, or set cnpg.enabled" }}{{ end -}}
{{- if not $v.schemaRegistry.url }}{{ $p = append $p "schemaRegistry.url is empty: set it, like http://registry:8081" }}
{{- else if not (regexMatch "^https?://[^/\\s]+" $v.schemaRegistry.url) }}{{ $p = append $p "schemaRegistry.url should be an address like http://registry:8081" }}{{ end -}}
{{- if and $v.schemaRegistry.user (not $v.schemaRegistry.existingSecret) }}{{ $p = append $p "schemaRegistry.existingSecret is empty: name the Secret that holds the password of schemaRegistry.user" }}{{ end -}}
{{- if and $v.traces.endpoint (not (regexMatch "^https?://[^/\\s]+" $v.traces.endpoint)) }}{{ $p = append $p "traces.endpoint should be an address like http://collector:4318" }}{{ end -}}
{{- if and $v.traces.endpoint $v.traces.existingSecret }}{{ $p = append $p "traces.endpoint and traces.existingSecret are both set: set one of them" }}{{ end -}}
{{- if and (or $v.strimzi.topics.enabled $v.strimzi.users.enabled) (not $v.strimzi.cluster) }}{{ $p = append $p "strimzi.cluster is empty: KafkaTopics and KafkaUsers need the name of their cluster" }}{{ end -}}
{{- if and $v.strimzi.users.enabled $v.strimzi.namespace (ne $v.strimzi.namespace (include "throughline.namespace" .)) }}{{ $p = append $p "strimzi.users.enabled needs Strimzi's cluster in the release's namespace, because its Secrets can't be read from another: make the KafkaUsers yourself and set kafka.sasl" }}{{ end -}}
{{- toYaml $p -}}
{{- end -}}

{{- define "throughline.problemsOfSources" -}}
{{- $v := .Values -}}
{{- $p := list -}}
{{- $known := .Files.Get "files/sources.yaml" | fromYaml -}}
{{- range $name, $s := $v.sources -}}
{{- if and $s.maxRate (get (get $known.vendors $name | default dict) "spool") }}{{ $p = append $p (printf "sources.%s.maxRate is set, but %s never sends a delivery twice, and what is beyond the limit would be lost: leave it 0" $name $name) }}{{ end -}}
{{- if not (hasKey $known.vendors $name) }}{{ $p = append $p (printf "sources.%s is no source: there are %s; others go into namedSources" $name (keys $known.vendors | sortAlpha | join ", ")) }}{{ end -}}
{{- end -}}
{{- range $name, $api := $v.apis -}}
{{- if not (hasKey $known.vendors $name) }}{{ $p = append $p (printf "apis.%s is no source: there are %s" $name (keys $known.vendors | sortAlpha | join ", ")) }}{{ end -}}
{{- end -}}
{{- if and $v.services.puller.enabled (not $v.apis) }}{{ $p = append $p "services.puller.enabled is true, but apis is empty, so there is nothing to ask: name the Secret of a vendor's API key, like apis.stripe.existingSecret" }}{{ end -}}
{{- range $name, $s := $v.namedSources -}}
{{- if hasKey $known.vendors $name }}{{ $p = append $p (printf "namedSources.%s has the name of a vendor: choose another, or set sources.%s" $name $name) }}{{ end -}}
{{- if not (and (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)*$" $name) (le (len $name) 40)) }}{{ $p = append $p (printf "namedSources.%s: a name is of at most 40 lower case letters, digits and single dashes, and begins with a letter" $name) }}{{ end -}}
{{- if not (has $s.format $known.formats) }}{{ $p = append $p (printf "namedSources.%s.format is %q: the formats are %s" $name (default "" $s.format) (join ", " $known.formats)) }}{{ end -}}
{{- if and $s.mapping $s.mappingConfigMap }}{{ $p = append $p (printf "namedSources.%s has mapping and mappingConfigMap: set one of them" $name) }}{{ end -}}
{{- end -}}
{{- $on := include "throughline.sources" . | fromYaml -}}
{{- if and $v.services.receiver.enabled (not $on) }}{{ $p = append $p (printf "no source is enabled, so there is nothing to receive: set sources.<name>.enabled for one or more of %s, or services.receiver.enabled to false" (keys $known.vendors | sortAlpha | join ", ")) }}{{ end -}}
{{- range $name, $s := $on -}}
{{- $key := printf "%s.%s" (ternary "sources" "namedSources" (hasKey $v.sources $name)) $name -}}
{{- if and $v.services.receiver.enabled (not $s.existingSecret) }}{{ $p = append $p (printf "%s.existingSecret is empty: name the Secret that holds its signing secrets" $key) }}{{ end -}}
{{- $url := default $v.publicURL $s.publicURL -}}
{{- if and (get $known.vendors $name | default dict).publicURL (not $url) }}{{ $p = append $p (printf "%s.publicURL is empty: %s signs the address that it posts to, like https://hooks.example.com" $key $name) }}{{ end -}}
{{- if and $url (not (regexMatch "^https?://[^/\\s]+" $url)) }}{{ $p = append $p (printf "%s.publicURL should be an address like https://hooks.example.com" $key) }}{{ end -}}
{{- end -}}
{{- toYaml $p -}}
{{- end -}}

{{/* What is wrong with credentials of its own. Takes root, name, at (its key), kafka and postgres. */}}
{{- define "throughline.problemsOfOwn" -}}
{{- $p := list -}}
{{- $kafka := default dict .kafka -}}
{{- $user := include "throughline.kafkaUser" . | fromYaml -}}
{{- if and $kafka $user (not $user.secret) }}{{ $p = append $p (printf "%s.kafka.existingSecret is empty: name the Secret that holds the password of its user" .at) }}{{ end -}}
{{- if and $kafka.clientSecret (not .root.Values.kafka.tls.enabled) }}{{ $p = append $p (printf "%s.kafka.clientSecret is set but kafka.tls.enabled is not: a client certificate needs TLS" .at) }}{{ end -}}
{{- $postgres := default dict .postgres -}}
{{- if and (or $postgres.key $postgres.directURLKey) (not $postgres.existingSecret) }}{{ $p = append $p (printf "%s.postgres.existingSecret is empty: name the Secret whose key that is" .at) }}{{ end -}}
{{- toYaml $p -}}
{{- end -}}

{{/* Labels that are the chart's own. Takes at and labels. */}}
{{- define "throughline.problemsOfLabels" -}}
{{- $p := list -}}
{{- range list "name" "instance" "component" -}}
{{- if hasKey (default dict $.labels) (printf "app.kubernetes.io/%s" .) }}{{ $p = append $p (printf "%s has app.kubernetes.io/%s, which the chart's selectors go by: choose another label" $.at .) }}{{ end -}}
{{- end -}}
{{- toYaml $p -}}
{{- end -}}

{{- define "throughline.problemsOfServices" -}}
{{- $p := include "throughline.problemsOfLabels" (dict "at" "commonLabels" "labels" .Values.commonLabels) | fromYamlArray -}}
{{- $known := .Files.Get "files/settings.yaml" | fromYaml -}}
{{- range $name, $s := include "throughline.services" . | fromYaml -}}
{{- $in := dict "root" $ "name" $name "service" $s "needs" (append $s.program.needs "process") "kafka" $s.kafka "postgres" $s.postgres -}}
{{- $ours := include "throughline.serviceEnv" $in | fromYaml -}}
{{- $reads := get $known $name -}}
{{- range $variable, $_ := $s.settings -}}
{{- if eq $variable "THROUGHLINE_KAFKA_INSTANCE_ID" }}{{ $p = append $p (printf "services.%s.settings.THROUGHLINE_KAFKA_INSTANCE_ID names one process, and pods would take it from each other: leave it out, the normalizer's pods have names of their own" $name) }}
{{- else if hasKey $ours $variable }}{{ $p = append $p (printf "services.%s.settings.%s is set by the chart: change the value that it comes from" $name $variable) }}
{{- else if has $variable $reads.secret }}{{ $p = append $p (printf "services.%s.settings.%s is a secret: put it into a Secret and name that (existingSecret)" $name $variable) }}
{{- else if not (has $variable $reads.plain) }}{{ $p = append $p (printf "services.%s.settings.%s is no setting of %s: docs/operations/settings.md lists them" $name $variable $name) }}{{ end -}}
{{- end -}}
{{- $p = concat $p (include "throughline.problemsOfOwn" (dict "root" $ "name" $name "at" (printf "services.%s" $name) "kafka" $s.kafka "postgres" $s.postgres) | fromYamlArray) -}}
{{- $p = concat $p (include "throughline.problemsOfLabels" (dict "at" (printf "services.%s.podLabels" $name) "labels" $s.podLabels) | fromYamlArray) -}}
{{- $a := $s.autoscaling -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) }}{{ $p = append $p (printf "services.%s.autoscaling.minReplicas is above maxReplicas" $name) }}{{ end -}}
{{- if eq $a.mode "hpa" -}}
{{- if not (or $a.hpa.targetCPUUtilization $a.hpa.targetMemoryUtilization $a.hpa.metrics) }}{{ $p = append $p (printf "services.%s.autoscaling.hpa has no metric: set targetCPUUtilization" $name) }}{{ end -}}
{{- end -}}
{{- if eq $a.mode "keda" -}}
{{- if and (eq $a.keda.by "lag") (not $s.program.group) }}{{ $p = append $p (printf "services.%s.autoscaling.keda.by is lag, but it consumes nothing: set it to prometheus, or mode to hpa" $name) }}{{ end -}}
{{- if and (eq $a.keda.by "prometheus") (not (and $a.keda.query $a.keda.prometheusAddress)) }}{{ $p = append $p (printf "services.%s.autoscaling.keda needs prometheusAddress and query" $name) }}{{ end -}}
{{- end -}}
{{- if has "webhooks" $s.program.needs -}}
{{- if ge (int $s.drainDelaySeconds) (int $s.stopTimeoutSeconds) }}{{ $p = append $p (printf "services.%s.drainDelaySeconds must be below stopTimeoutSeconds" $name) }}{{ end -}}
{{- end -}}
{{- if has "signin" $s.program.needs -}}
{{- $p = concat $p (include "throughline.problemsOfConsole" (dict "console" $s "expose" $.Values.expose.console) | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- $secretAlerts := (get $known "alerter").secret -}}
{{- range $name, $_ := .Values.alerts.settings -}}
{{- if has $name $secretAlerts }}{{ $p = append $p (printf "alerts.settings.%s is a secret: put it into the Secret of alerts.existingSecret" $name) }}
{{- else if not (has $name (get $known "alerter").plain) }}{{ $p = append $p (printf "alerts.settings.%s is no setting of alerter: docs/operations/settings.md lists them" $name) }}{{ end -}}
{{- end -}}
{{- if and .Values.alerts.keys (not .Values.alerts.existingSecret) }}{{ $p = append $p "alerts.existingSecret is empty: name the Secret whose keys alerts.keys are" }}{{ end -}}
{{- range $what, $who := dict "webhooks" "vendors reach the receiver" "console" "people open the console" -}}
{{- $e := get $.Values.expose $what -}}
{{- if and (ne $e.mode "none") (not $e.hostnames) }}{{ $p = append $p (printf "expose.%s.hostnames is empty: set the names by which %s" $what $who) }}{{ end -}}
{{- if and (eq $e.mode "httpRoute") (not $e.httpRoute.parentRefs) }}{{ $p = append $p (printf "expose.%s.httpRoute.parentRefs is empty: name your Gateway" $what) }}{{ end -}}
{{- end -}}
{{- if and (ne .Values.expose.console.mode "none") (not .Values.services.console.enabled) }}{{ $p = append $p "expose.console.mode is set, but services.console.enabled is not: there is nothing to expose" }}{{ end -}}
{{- toYaml $p -}}
{{- end -}}

{{/* What is wrong with how people reach the console and sign in. Takes console (the service) and expose. */}}
{{- define "throughline.problemsOfConsole" -}}
{{- $p := list -}}
{{- $c := .console -}}
{{- $url := urlParse $c.publicURL -}}
{{- if not $c.publicURL }}{{ $p = append $p "services.console.publicURL is empty: set it to the address that people open, like https://throughline.example.com" }}
{{- else if not (regexMatch "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$" $c.publicURL) }}{{ $p = append $p "services.console.publicURL should be an address like https://throughline.example.com" }}
{{- else if and (ne .expose.mode "none") .expose.hostnames (not (has (regexReplaceAll ":[0-9]+$" $url.host "") .expose.hostnames)) }}{{ $p = append $p (printf "services.console.publicURL is at %s, which is not one of expose.console.hostnames: people come back to it when they have signed in" $url.host) }}{{ end -}}
{{- if eq $c.login "oidc" -}}
{{- if and $c.publicURL (not (regexMatch "^https://|^http://(localhost|127\\.0\\.0\\.1)(:|/|$)" $c.publicURL)) }}{{ $p = append $p "services.console.publicURL should begin with https:// where services.console.login is oidc" }}{{ end -}}
{{- if not (regexMatch "^https://[^/\\s]+" $c.oidc.issuer) }}{{ $p = append $p "services.console.oidc.issuer should be the issuer's address, like https://login.example.com/realms/main" }}{{ end -}}
{{- if not $c.oidc.clientId }}{{ $p = append $p "services.console.oidc.clientId is empty: set the console's client id at the issuer" }}{{ end -}}
{{- if not (has "openid" $c.oidc.scopes) }}{{ $p = append $p "services.console.oidc.scopes should have openid among them" }}{{ end -}}
{{- if not (or $c.oidc.adminGroups $c.oidc.operatorGroups $c.oidc.viewerGroups) }}{{ $p = append $p "services.console.oidc.adminGroups, operatorGroups and viewerGroups are all empty, so nobody could do anything: name a group" }}{{ end -}}
{{- end -}}
{{- toYaml $p -}}
{{- end -}}

{{/* What a hook needs must be there before the release is. */}}
{{- define "throughline.problemsOfOrder" -}}
{{- $v := .Values -}}
{{- $p := list -}}
{{- $jobs := include "throughline.jobs" . | fromYaml -}}
{{- $migrates := eq $v.migrations.mode "hook" -}}
{{- $topics := and (eq $v.topics.mode "hook") (hasKey $jobs "topics") -}}
{{- if and $v.cnpg.enabled (not $v.postgres.existingSecret) (not $v.migrations.postgres.existingSecret) $migrates }}{{ $p = append $p "cnpg.enabled makes the database with the release, and a hook runs before it: set migrations.mode to job or app" }}{{ end -}}
{{- if and $v.strimzi.users.enabled (hasKey $jobs "topics") (not $v.topics.kafka.user) }}{{ $p = append $p "strimzi.users.enabled makes no user for the topics Job: set strimzi.topics.enabled, topics.kafka, or topics.mode to none" }}{{ end -}}
{{- if and $v.migrations.roles.enabled (not (hasKey $jobs "migrate")) }}{{ $p = append $p "migrations.roles.enabled needs migrations.mode hook or job: `throughline roles apply` runs after the migration, as the schema's owner" }}{{ end -}}
{{- if and $v.topics.acls.enabled (not (hasKey $jobs "topics")) }}{{ $p = append $p "topics.acls.enabled needs the topics Job: set topics.mode to hook or job, and strimzi.topics.enabled to false" }}{{ end -}}
{{- if and $v.topics.acls.enabled $v.strimzi.users.enabled }}{{ $p = append $p "topics.acls.enabled and strimzi.users.enabled both give rights on Kafka: choose one" }}{{ end -}}
{{- if $v.externalSecrets.enabled -}}
{{- if not $v.externalSecrets.storeRef.name }}{{ $p = append $p "externalSecrets.storeRef.name is empty: name the store" }}{{ end -}}
{{- if $migrates }}{{ $p = append $p "externalSecrets.enabled makes the Secrets with the release, and a hook runs before it: set migrations.mode to job or app" }}{{ end -}}
{{- if $topics }}{{ $p = append $p "externalSecrets.enabled makes the Secrets with the release, and a hook runs before it: set topics.mode to job" }}{{ end -}}
{{- end -}}
{{- range $at, $own := dict "doctor" $v.doctor "topics" $v.topics "migrations" $v.migrations -}}
{{- $p = concat $p (include "throughline.problemsOfOwn" (dict "root" $ "name" $at "at" $at "kafka" $own.kafka "postgres" $own.postgres) | fromYamlArray) -}}
{{- end -}}
{{- if and $v.migrations.roles.enabled $v.cnpg.enabled (not $v.postgres.existingSecret) (not $v.migrations.postgres.existingSecret) }}{{ $p = append $p "migrations.roles.enabled needs CREATEROLE, which the owner of CloudNativePG's database has not: name a Secret of one who has it in migrations.postgres.existingSecret" }}{{ end -}}
{{- range $name, $job := $v.cronJobs -}}
{{- if $job.enabled }}{{ $p = concat $p (include "throughline.problemsOfOwn" (dict "root" $ "name" $name "at" (printf "cronJobs.%s" $name) "kafka" $job.kafka "postgres" $job.postgres) | fromYamlArray) }}{{ end -}}
{{- if and $job.enabled (has "kafka" $job.needs) $v.strimzi.users.enabled (not ($job.kafka | default dict).user) }}{{ $p = append $p (printf "cronJobs.%s needs Kafka, and strimzi.users.enabled makes no user for it: set cronJobs.%s.kafka" $name $name) }}{{ end -}}
{{- if has $name (list "migrate" "topics" "doctor") }}{{ $p = append $p (printf "cronJobs.%s has the name of a job of the chart: choose another" $name) }}{{ end -}}
{{- end -}}
{{- toYaml $p -}}
{{- end -}}
