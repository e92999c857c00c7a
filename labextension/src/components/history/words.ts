import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { figure } from '../figures';

/** "3 minutes ago" in the language of the page; seconds are "now". */
export function ago(trans: TranslationBundle, seconds: number): string {
  const passed = Date.now() / 1000 - seconds;
  return passed < 45
    ? trans.__('just now')
    : Time.formatHuman(new Date(seconds * 1000));
}

/** 900 B, 12 kB, 3.4 MB. */
export function bytes(size: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = size;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${figure(value, value >= 10 || unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** A title as a file's name: no separators, no control characters, not hidden. */
export function fileName(title: string, extension: string): string {
  const name = title
    .replace(/[\u0000-\u001f\u007f/\\:*?"<>|]+/g, ' ')
    .trim()
    .replace(/^\.+/, '')
    .slice(0, 80)
    .trim();
  return `${name || 'conversation'}.${extension}`;
}
