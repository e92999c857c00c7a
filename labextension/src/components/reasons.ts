/** Why a part was not sent whole, in the user's words: the codes of jupyter_ext/cellar/context/reasons.py. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IReason, IReceiptPart } from '../wire/types';
import { figure } from './figures';

type Words = (trans: TranslationBundle, ...values: number[]) => string;

const WORDS: Record<string, Words> = {
  above: trans => trans.__('shown above'),
  above_in_part: trans => trans.__('shown above in part'),
  changed: trans => trans.__('changed since it was sent before'),
  cells_changed: (trans, some, all) =>
    trans.__('%1 of %2 cells changed', figure(some), figure(all)),
  no_room: trans => trans.__('no room'),
  no_vision: trans => trans.__('this model cannot see pictures'),
  characters_left_out: (trans, some, all) =>
    trans.__('%1 of %2 characters left out', figure(some), figure(all)),
  cells_left_out: (trans, count) =>
    trans._n('%1 cell left out', '%1 cells left out', count),
  outputs_shortened: (trans, count) =>
    trans._n(
      'outputs of %1 cell shortened',
      'outputs of %1 cells shortened',
      count
    ),
  pictures_left_out: (trans, count) =>
    trans._n('%1 picture left out', '%1 pictures left out', count),
  folder: (trans, names, some, all) =>
    trans.__(
      '%1 names, the text of %2 of %3 files',
      figure(names),
      figure(some),
      figure(all)
    ),
  turns_left_out: (trans, count) =>
    trans._n(
      '%1 oldest message left out',
      '%1 oldest messages left out',
      count
    ),
  turns_bare: (trans, count) =>
    trans._n(
      '%1 message without its attachments',
      '%1 messages without their attachments',
      count
    ),
  gone: trans => trans.__('no longer there'),
  not_found: trans => trans.__('not found'),
  not_read: trans => trans.__('not read'),
  outside_workspace: trans => trans.__('outside of your workspace'),
  no_permission: trans => trans.__('no permission to read it'),
  not_a_file: trans => trans.__('not a file'),
  too_large: (trans, size, limit) =>
    trans.__(
      '%1 MB, at most %2 MB are read',
      megabytes(size),
      megabytes(limit)
    ),
  binary: trans => trans.__('not text'),
  picture_kind: trans => trans.__('not a PNG, JPEG, GIF or WebP picture'),
  encoding: trans => trans.__('not text in a known encoding'),
  not_json: trans => trans.__('not JSON that can be read'),
  not_a_notebook: trans => trans.__('not a notebook'),
  unreadable: trans => trans.__('cannot be read')
};

/** Codes that have words here (a test compares with the server's). */
export const KNOWN_REASONS: readonly string[] = Object.keys(WORDS);

function megabytes(bytes: number): string {
  return figure(bytes / 1024 / 1024, 1);
}

/** '' for a code that is not known. */
export function reasonWords(
  trans: TranslationBundle,
  { code, values = [] }: IReason
): string {
  return WORDS[code]?.(trans, ...values) ?? '';
}

/** The reasons of a row; the server's English for what is not known here. */
export function whyOf(trans: TranslationBundle, part: IReceiptPart): string {
  const said = (part.reasons ?? []).map(reason => reasonWords(trans, reason));
  return said.length && said.every(Boolean)
    ? said.join(', ')
    : (part.detail ?? '');
}
