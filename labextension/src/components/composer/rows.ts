/**
 * The rows of the `@` and `/` menus. Mentions come from the context sources, which
 * know what is open and search the workspace; they filter and sort.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { COMMANDS, type CommandName } from '../../chat/commands';
import type { ComposerModel } from '../../chat/composer';
import { answersTo, isSpaced, type ITrigger } from '../../chat/mentions';
import type { IContextItem } from '../../chat/tokens';

export type MenuRow =
  | { kind: 'mention'; key: string; item: IContextItem; detail: string }
  | { kind: 'command'; key: string; name: CommandName; detail: string };

/** Rows shown at once; typing narrows. */
const MOST = 40;
/** Milliseconds of rest before the sources are asked (they search the workspace). */
const SEARCH_REST = 100;

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

export interface IMenu {
  rows: readonly MenuRow[];
  active: number;
  /** nothing has come yet */
  searching: boolean;
  /** the active row answers what is typed now, not what was typed before */
  current: boolean;
  /** why what was asked for is not offered */
  note: string | null;
  move(step: number): void;
  point(index: number): void;
}

/** The rows for a trigger; null closes the menu. */
export function useMenu(
  trans: TranslationBundle,
  trigger: ITrigger | null,
  model: ComposerModel,
  /** what is open; when it changes the sources are asked again */
  automatic: readonly IContextItem[]
): IMenu {
  const kind = trigger?.kind ?? null;
  const query = trigger?.query ?? '';
  const found = useMentions(
    kind === 'mention' ? query : null,
    model,
    automatic
  );
  const rows = React.useMemo(() => {
    switch (kind) {
      case 'command':
        return commandRows(trans, query);
      case 'mention':
        return (found?.items ?? [])
          .filter(item => !isSpaced(query) || answersTo(item, query))
          .slice(0, MOST)
          .map(mentionRow);
      default:
        return [];
    }
  }, [trans, kind, query, found]);
  const [active, setActive] = React.useState(0);
  React.useEffect(() => setActive(0), [kind, query]);
  const count = rows.length;
  const answered = kind !== 'mention' || found?.query === query;
  const chosen = rows[Math.min(active, Math.max(0, count - 1))];
  // One that fits what is typed now is what the user sees and means.
  const current =
    answered || (chosen?.kind === 'mention' && answersTo(chosen.item, query));
  const selected = rows.some(
    row => row.kind === 'mention' && row.item.kind === 'selection'
  );
  return {
    rows,
    active: Math.min(active, Math.max(0, count - 1)),
    searching: kind === 'mention' && found === null,
    current,
    note:
      answered &&
      kind === 'mention' &&
      meansSelection(trans, query) &&
      !selected
        ? trans.__('Nothing is selected: select text in a cell or a file first')
        : null,
    move: step => setActive(now => (count ? (now + step + count) % count : 0)),
    point: setActive
  };
}

/** "@sel": by its name, in the user's language or in English. */
function meansSelection(trans: TranslationBundle, query: string): boolean {
  const typed = query.toLowerCase();
  const name = trans.__('selection').toLowerCase();
  return (
    (typed.length > 2 && 'selection'.startsWith(typed)) ||
    (typed.length > 1 && name.startsWith(typed))
  );
}

interface IFound {
  query: string;
  items: readonly IContextItem[];
}

/** The last answer stays until the next one is there: a list that blinks is unreadable. */
function useMentions(
  query: string | null,
  model: ComposerModel,
  automatic: readonly IContextItem[]
): IFound | null {
  const [found, setFound] = React.useState<IFound | null>(null);
  const latest = React.useRef(found);
  latest.current = found;
  React.useEffect(() => {
    if (query === null) {
      setFound(null);
      return;
    }
    // What begins as nothing that is known does not become something by more words.
    if (latest.current !== null && isDeadEnd(latest.current, query)) {
      setFound({ query, items: [] });
      return;
    }
    let late = false;
    const timer = setTimeout(
      () => {
        void model.mentions(query).then(items => {
          if (!late) {
            setFound({ query, items });
          }
        });
      },
      query === '' ? 0 : SEARCH_REST
    );
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [query, model, automatic]);
  return found;
}

function isDeadEnd(found: IFound, query: string): boolean {
  return (
    found.items.length === 0 &&
    isSpaced(found.query) &&
    query.startsWith(found.query)
  );
}
