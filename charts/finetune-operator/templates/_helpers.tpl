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

{{- define "finetune-operator.reportsUrl" -}}
{{- $service := printf "%s.%s.svc" (include "finetune-operator.fullname" .) .Release.Namespace }}
{{- default (printf "https://%s:%v" $service .Values.reports.port) .Values.reports.url }}
{{- end }}
