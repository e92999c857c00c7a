/** Numbers and times as the language of JupyterLab writes them, which may be another than the browser's. */

function language(): string {
  return document.documentElement.lang || 'en';
}

export function figure(value: number, digits = 0): string {
  return value.toLocaleString(language(), {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits
  });
}

export function moment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(language(), {
    dateStyle: 'medium',
    timeStyle: 'short'
  });
}
