{{- define "holdfast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "holdfast.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "holdfast.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "holdfast.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: {{ include "holdfast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "holdfast.common" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: holdfast
{{- end }}

{{- define "holdfast.labels" -}}
{{ include "holdfast.common" . }}
{{ include "holdfast.selector" . }}
{{- end }}

{{/* Where the operator's own objects are: Lease, reports, scheduled Snapshots. */}}
{{- define "holdfast.home" -}}
{{- default .Release.Namespace .Values.watchNamespace }}
{{- end }}

{{/* A second release of the same name of role would run the same jobs. Helm looks only where there is a cluster. */}}
{{- define "holdfast.onlyOne" -}}
{{- $found := dict }}
{{- if .Values.watchNamespace }}
{{- $found = lookup "rbac.authorization.k8s.io/v1" "Role" .Values.watchNamespace "holdfast-controller" }}
{{- else }}
{{- $found = lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "holdfast-controller" }}
{{- end }}
{{- $notes := dig "metadata" "annotations" dict $found }}
{{- $name := get $notes "meta.helm.sh/release-name" }}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" }}
{{- if and $name (or (ne $name .Release.Name) (ne $namespace .Release.Namespace)) }}
{{- $where := default "the whole cluster" .Values.watchNamespace }}
{{- fail (printf "release %s in namespace %s runs the BatchJobs of %s already: upgrade that one, or give each release a watchNamespace of its own" $name $namespace $where) }}
{{- end }}
{{- end }}

{{- define "holdfast.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "holdfast.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "holdfast.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "holdfast.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "holdfast.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
