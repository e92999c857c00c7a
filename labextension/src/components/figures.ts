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

/** Only as much as is not today's, and never broken into two lines. */
export function moment(seconds: number, now = new Date()): string {
  const date = new Date(seconds * 1000);
  const thisYear = date.getFullYear() === now.getFullYear();
  const today = date.toDateString() === now.toDateString();
  const words = date.toLocaleString(
    language(),
    thisYear
      ? {
          hour: 'numeric',
          minute: '2-digit',
          ...(today ? {} : { month: 'short', day: 'numeric' })
        }
      : { dateStyle: 'medium', timeStyle: 'short' }
  );
  return words.replace(/\s/g, '\u00a0');
}
