/**
 * The rows of the `@` and `/` menus. Mentions come from two places, the context
 * sources of the browser and the server's search; whichever answers first is shown.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { COMMANDS, type CommandName } from '../../chat/commands';
import { fileItem, type ComposerModel } from '../../chat/composer';
import { bestMatches, type ITrigger } from '../../chat/mentions';
import type { IContextItem } from '../../chat/tokens';
import type { ISearchHit } from '../../wire/types';

export type MenuRow =
  | { kind: 'mention'; key: string; item: IContextItem; detail: string }
  | { kind: 'command'; key: string; name: CommandName; detail: string };

/** Rows shown at once; typing narrows. */
const MOST = 40;
/** Milliseconds between the last key and the server's search. */
const SEARCH_REST = 120;

export function commandWords(
  trans: TranslationBundle,
  name: CommandName
): string {
  switch (name) {
    case 'explain':
      return trans.__('Explain the code or the output');
    case 'fix':
      return trans.__('Find the cause of the error and mend it');
    case 'document':
      return trans.__('Write docstrings and comments');
    case 'test':
      return trans.__('Write tests');
    case 'optimize':
      return trans.__('Make it faster or lighter');
    case 'plot':
      return trans.__('Draw a chart of the data');
    case 'sql':
      return trans.__('Write an SQL query');
    case 'translate':
      return trans.__('Translate to another language');
    case 'clear':
      return trans.__('Begin a new conversation');
    case 'help':
      return trans.__('Show commands and keys');
  }
}

export function commandRows(
  trans: TranslationBundle,
  query: string
): MenuRow[] {
  return COMMANDS.filter(name => name.startsWith(query.toLowerCase())).map(
    name => ({
      kind: 'command',
      key: `/${name}`,
      name,
      detail: commandWords(trans, name)
    })
  );
}

function mentionRow(item: IContextItem): MenuRow {
  const detail = item.path && item.path !== item.label ? item.path : '';
  return { kind: 'mention', key: item.key, item, detail };
}

function hitRow(hit: ISearchHit): MenuRow | null {
  // A symbol leads to its file: the contract has no part for a piece of one.
  return hit.kind === 'symbol'
    ? {
        kind: 'mention',
        key: `symbol:${hit.path}:${hit.name}`,
        item: fileItem(hit.path),
        detail: `${hit.name} · ${hit.path}${hit.line ? `:${hit.line}` : ''}`
      }
    : mentionRow(fileItem(hit.path, hit.kind));
}

/** Sources first (they are nearer), then the files; each thing once. */
export function mergeRows(
  items: readonly IContextItem[],
  hits: readonly ISearchHit[],
  query: string
): MenuRow[] {
  const near = bestMatches(items, query, item =>
    `${item.label} ${item.kind}`.trim()
  ).map(mentionRow);
  const known = new Set(near.map(row => row.key));
  const far = hits
    .map(hitRow)
    .filter((row): row is MenuRow => row !== null && !known.has(row.key));
  return [...near, ...far].slice(0, MOST);
}

export interface IMenu {
  rows: readonly MenuRow[];
  active: number;
  /** the server is still searching */
  searching: boolean;
  move(step: number): void;
  point(index: number): void;
}

interface IFound {
  query: string;
  items: readonly IContextItem[];
  hits: readonly ISearchHit[];
  searching: boolean;
}

const NOTHING: IFound = { query: '', items: [], hits: [], searching: false };

/** The rows for a trigger; null closes the menu. */
export function useMenu(
  trans: TranslationBundle,
  trigger: ITrigger | null,
  model: ComposerModel,
  search: (
    query: string,
    signal: AbortSignal
  ) => Promise<readonly ISearchHit[]>
): IMenu {
  const kind = trigger?.kind ?? null;
  const query = trigger?.query ?? '';
  const found = useMentions(kind === 'mention' ? query : null, model, search);
  const rows = React.useMemo(
    () =>
      kind === 'command'
        ? commandRows(trans, query)
        : kind === 'mention'
          ? mergeRows(found.items, found.hits, query)
          : [],
    [trans, kind, query, found]
  );
  const [active, setActive] = React.useState(0);
  React.useEffect(() => setActive(0), [kind, query]);
  const count = rows.length;
  return {
    rows,
    active: Math.min(active, Math.max(0, count - 1)),
    searching: kind === 'mention' && found.searching,
    move: step => setActive(now => (count ? (now + step + count) % count : 0)),
    point: setActive
  };
}

function useMentions(
  query: string | null,
  model: ComposerModel,
  search: (
    query: string,
    signal: AbortSignal
  ) => Promise<readonly ISearchHit[]>
): IFound {
  const [found, setFound] = React.useState<IFound>(NOTHING);
  const ask = React.useRef(search);
  ask.current = search;
  React.useEffect(() => {
    if (query === null) {
      setFound(NOTHING);
      return;
    }
    const abort = new AbortController();
    const merge = (change: Partial<IFound>): void => {
      if (!abort.signal.aborted) {
        setFound(old => ({ ...old, query, ...change }));
      }
    };
    merge({ searching: true });
    void model.mentions(query).then(items => merge({ items }));
    const timer = setTimeout(() => {
      ask.current(query, abort.signal).then(
        hits => merge({ hits, searching: false }),
        () => merge({ hits: [], searching: false })
      );
    }, SEARCH_REST);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [query, model]);
  return found;
}
