{{/* The labels of every object; with "component" where it has one. */}}
{{- define "outrigger.labels" -}}
app.kubernetes.io/name: outrigger
app.kubernetes.io/part-of: outrigger
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "outrigger.selector" -}}
app.kubernetes.io/name: outrigger
app.kubernetes.io/component: webhook
{{- end }}

{{/* The webhook's image. */}}
{{- define "outrigger.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Labels and annotations of what is there for `helm test` alone: "root", "policy", "weight". */}}
{{- define "outrigger.testMeta" -}}
labels:
  app.kubernetes.io/component: test
  {{- include "outrigger.labels" .root | nindent 2 }}
annotations:
  helm.sh/hook: test
  helm.sh/hook-delete-policy: {{ .policy }}
  helm.sh/hook-weight: {{ .weight | quote }}
{{- end }}

{{/* What Pod Security's `restricted` asks of a container, and a root that nobody writes. */}}
{{- define "outrigger.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
