/** A conversation without a question: what Cellar sees, and what to begin with. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ComposerModel, IComposerState } from '../chat/composer';
import { isLocked, isOff } from '../chat/features';
import type { SendWith } from '../chat/keys';
import {
  sightOf,
  startersFor,
  type ISight,
  type IStarter
} from '../chat/starters';
import type { IContextItem } from '../chat/tokens';
import type { ContextPart, IStatus } from '../wire/types';
import { showHelp } from './composer/Help';

export interface IEmptyProps {
  trans: TranslationBundle;
  model: ComposerModel;
  status: IStatus | null;
  sendWith: SendWith;
}

export function Empty(props: IEmptyProps): JSX.Element {
  const { trans, model, status } = props;
  const state = React.useSyncExternalStore(model.subscribe, model.getState);
  const root = React.useRef<HTMLDivElement>(null);
  const sight = useSight(model, state, root);
  const hidden = state.automatic.find(
    item => item.kind !== 'selection' && isLocked(state.off, item.kind)
  );
  const start = (starter: IStarter): void => {
    if (starter.name === 'help') {
      showHelp(trans, props.sendWith);
      return;
    }
    model.add(starter.items);
    model.propose(starterText(trans, starter));
    model.focus();
  };
  return (
    <div className="jp-Cellar-empty" ref={root}>
      <p className="jp-Cellar-sees">{seesWords(trans, sight, hidden)}</p>
      <ul className="jp-Cellar-starters" aria-label={trans.__('Suggestions')}>
        {startersFor(sight).map(starter => (
          <li key={starter.name}>
            <button type="button" onClick={() => start(starter)}>
              {starterLabel(trans, starter)}
            </button>
          </li>
        ))}
      </ul>
      {status?.model_server.tiny ? (
        <p className="jp-Cellar-emptyNote jp-mod-tiny">
          {trans.__(
            'This is the small built-in demonstration model: it shows how Cellar works, but its answers are often wrong. Set VLLM_BASE_URL to use a real model server.'
          )}
        </p>
      ) : null}
      {status?.policy.history === 'memory' ? (
        <p className="jp-Cellar-emptyNote jp-mod-memory">
          {trans.__(
            'Conversations are not stored here: they are gone when the server restarts.'
          )}
          {isOff(status, 'export')
            ? null
            : ` ${trans.__('Export what you want to keep.')}`}
        </p>
      ) : null}
      <p className="jp-Cellar-emptyNote">
        {trans.__(
          'Your question and its context go to your own model server and nowhere else; secrets are masked before they are sent.'
        )}
      </p>
    </div>
  );
}

function seesWords(
  trans: TranslationBundle,
  sight: ISight,
  hidden: IContextItem | undefined
): string {
  const { document, cells, selection, error } = sight;
  if (!document && hidden) {
    // Its pill says why.
    return trans.__('%1 is open, but Cellar may not see it.', hidden.label);
  }
  if (!document) {
    return trans.__(
      'No notebook or file is open. Open one and Cellar sees it, or just ask.'
    );
  }
  const facts = [
    cells === null ? '' : trans._n('%1 cell', '%1 cells', cells),
    selection ? trans.__('a selection') : '',
    error ? trans.__('an error') : ''
  ].filter(word => word !== '');
  // A line is broken between them only, and behind the dot.
  const whole = facts.map(each => `\u00a0· ${each.replace(/ /g, '\u00a0')}`);
  return trans.__('Cellar sees: %1', document.label + whole.join(''));
}

function starterLabel(trans: TranslationBundle, starter: IStarter): string {
  switch (starter.name) {
    case 'fix':
      return trans.__('Fix this error: %1', starter.items[0].label);
    case 'explain':
      return trans.__('Explain the selection');
    case 'improve':
      return trans.__('Improve the selection');
    case 'summarise':
      return trans.__('Summarise this notebook');
    case 'next':
      return trans.__('Suggest the next step');
    case 'file':
      return trans.__('Explain this file');
    case 'plot':
      return trans.__('Draw a chart of the data');
    case 'begin':
      return trans.__('Start an analysis from a CSV file');
    case 'help':
      return trans.__('What can I do here?');
  }
}

/** Goes into the composer, where it can be changed before it is sent. */
function starterText(trans: TranslationBundle, starter: IStarter): string {
  switch (starter.name) {
    case 'fix':
      return '/fix ';
    case 'explain':
    case 'file':
      return '/explain ';
    case 'improve':
      return '/optimize ';
    case 'plot':
      return '/plot ';
    case 'summarise':
      return trans.__(
        'Summarise this notebook: what it does and what it finds.'
      );
    case 'next':
      return trans.__('What would be a good next step in this notebook?');
    case 'begin':
      return trans.__(
        'Write the first cells of a notebook that reads a CSV file and looks at its columns.'
      );
    case 'help':
      return '';
  }
}

/**
 * What is open, its cells counted when it changes; the last error whenever
 * something may have run. Nothing is read for a panel that nobody sees.
 */
function useSight(
  model: ComposerModel,
  state: IComposerState,
  root: React.RefObject<HTMLElement>
): ISight {
  const { automatic: offered, off } = state;
  const automatic = React.useMemo(
    () => offered.filter(item => !isLocked(off, item.kind)),
    [offered, off]
  );
  const shown = useShown(root);
  const keys = automatic.map(item => `${item.key}\n${item.label}`).join('\n\n');
  const [part, setPart] = React.useState<ContextPart | null>(null);
  const [error, setError] = React.useState<IContextItem | null>(null);
  const latest = React.useRef(automatic);
  latest.current = automatic;
  React.useEffect(() => {
    if (!shown) {
      return;
    }
    let late = false;
    const notebook = latest.current.find(item => item.kind === 'notebook');
    const reading = notebook?.read().catch(() => null) ?? null;
    void Promise.resolve(reading).then(read => {
      if (!late) {
        setPart(read);
      }
    });
    return () => {
      late = true;
    };
  }, [keys, shown]);
  React.useEffect(() => {
    if (!shown) {
      return;
    }
    const timer = setTimeout(
      () => setError(model.sources.lastError()),
      LOOK_REST
    );
    return () => clearTimeout(timer);
  }, [model, automatic, shown]);
  return sightOf(automatic, error, part);
}

/** Milliseconds of rest: a moving selection is not looked at in each step. */
const LOOK_REST = 200;

function useShown(root: React.RefObject<HTMLElement>): boolean {
  const [shown, setShown] = React.useState(false);
  React.useEffect(() => {
    if (!root.current) {
      return;
    }
    const observer = new IntersectionObserver(entries =>
      setShown(entries.some(entry => entry.isIntersecting))
    );
    observer.observe(root.current);
    return () => observer.disconnect();
  }, [root]);
  return shown;
}
