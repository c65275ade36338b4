{{/* Short name, in labels. */}}
{{- define "finetune-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of what the chart creates. 52 characters, so that -reports and the like still fit into 63. */}}
{{- define "finetune-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "finetune-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of cluster-wide objects: releases of the same name in two namespaces must not collide. */}}
{{- define "finetune-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "finetune-operator.fullname" .) }}
{{- end }}

{{- define "finetune-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "finetune-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "finetune-operator.labels" -}}
{{ include "finetune-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "finetune-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "finetune-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Secret that the operator creates for the keys of its report endpoint. */}}
{{- define "finetune-operator.secretName" -}}
{{- printf "%s-reports" (include "finetune-operator.fullname" .) }}
{{- end }}

{{/* Reference of an image: .root and .image, a value with repository, tag and digest. */}}
{{- define "finetune-operator.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) }}
{{- end }}
{{- end }}

{{/* User name of the operator's account, as the API server knows it. */}}
{{- define "finetune-operator.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "finetune-operator.serviceAccountName" .) }}
{{- end }}

{{/* Name of a shard's Deployment and Service: .root, and .shard from 0 on. That of the first is the full name. */}}
{{- define "finetune-operator.shardName" -}}
{{- $name := include "finetune-operator.fullname" .root }}
{{- ternary (printf "%s-shard-%v" $name .shard) $name (gt (int .shard) 0) }}
{{- end }}

{{/* Host names of the Services of all shards. */}}
{{- define "finetune-operator.reportHosts" -}}
{{- $hosts := list }}
{{- range $shard := until (int .Values.shards) }}
{{- $hosts = append $hosts (printf "%s.%s.svc" (include "finetune-operator.shardName" (dict "root" $ "shard" $shard)) $.Release.Namespace) }}
{{- end }}
{{- join "," $hosts }}
{{- end }}

{{/* Where pods report to a shard: .root and .shard. */}}
{{- define "finetune-operator.reportsUrl" -}}
{{- $service := printf "%s.%s.svc" (include "finetune-operator.shardName" .) .root.Release.Namespace }}
{{- default (printf "https://%s:%v" $service .root.Values.reports.port) .root.Values.reports.url }}
{{- end }}

{{/* Names of the Leases of all shards. */}}
{{- define "finetune-operator.leases" -}}
{{- $secret := include "finetune-operator.secretName" . }}
{{- $names := list }}
{{- range $shard := until (int .Values.shards) }}
{{- $names = append $names (ternary (printf "%s-%v" $secret $shard) $secret (gt $shard 0)) }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/* Names of the Services of all shards, and with .suffix of what is called after them. */}}
{{- define "finetune-operator.services" -}}
{{- $names := list }}
{{- range $shard := until (int .root.Values.shards) }}
{{- $names = append $names (printf "%s%s" (include "finetune-operator.shardName" (dict "root" $.root "shard" $shard)) $.suffix) }}
{{- end }}
{{- toJson $names }}
{{- end }}
