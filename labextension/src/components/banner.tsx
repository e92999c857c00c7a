/**
 * What the user must know before asking: the server part is missing, the model is
 * down or loading, the line is broken, an admin has something to say.
 */
import { closeIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IChatState } from '../chat/state';
import type { ChatStore } from '../chat/store';
import type { IErrorInfo } from '../wire/types';
import { IconButton, TextButton } from './buttons';
import { describe } from './describe';
import { errorWords } from './words';

export interface IBannersProps {
  trans: TranslationBundle;
  store: ChatStore;
}

type Level = 'info' | 'warning' | 'error';

interface IAction {
  label: string;
  act(): void;
}

interface IBanner {
  key: string;
  level: Level;
  text: string;
  /** more than one line: what to do */
  steps?: React.ReactNode;
  action?: IAction;
  dismiss?(): void;
}

/** Milliseconds that a broken line may last before anybody is told. */
const PATIENCE = 5000;

export function Banners(props: IBannersProps): JSX.Element {
  const { trans, store } = props;
  const state = React.useSyncExternalStore(store.subscribe, store.getState);
  const [dismissed, dismiss] = useDismissed(store.api.scope);
  const lost = useLost(state.lostSince);
  useWatch(store, state);
  const banners = [
    ...serverBanners(props, state),
    ...(lost ? [lostBanner(trans)] : []),
    ...announcements(trans, state, dismissed, dismiss),
    ...noticeBanner(props, state)
  ];
  // The region stays when it is empty: a reader only hears what is added to it.
  return (
    <div className="jp-Cellar-banners" role="status">
      {banners.map(banner => (
        <Banner key={banner.key} trans={trans} banner={banner} />
      ))}
    </div>
  );
}

function Banner(props: {
  trans: TranslationBundle;
  banner: IBanner;
}): JSX.Element {
  const { trans, banner } = props;
  return (
    <div
      className={`jp-Cellar-banner jp-mod-${banner.level}`}
      data-banner={banner.key}
      role={banner.level === 'error' ? 'alert' : undefined}
    >
      <div className="jp-Cellar-bannerText">
        {banner.text}
        {banner.steps}
      </div>
      {banner.action ? (
        <TextButton label={banner.action.label} act={banner.action.act} />
      ) : null}
      {banner.dismiss ? (
        <IconButton
          icon={closeIcon}
          label={trans.__('Dismiss')}
          act={banner.dismiss}
        />
      ) : null}
    </div>
  );
}

function checkAction({ trans, store }: IBannersProps): IAction {
  return {
    label: trans.__('Try again'),
    act: () => void store.refreshStatus()
  };
}

/** What mends this, where that is not asking the question again. */
function helpfulAction(
  props: IBannersProps,
  error: IErrorInfo
): IAction | undefined {
  const { trans } = props;
  switch (errorWords(trans, error).action) {
    case 'reload':
      return {
        label: trans.__('Load the page again'),
        act: () => window.location.reload()
      };
    case 'check':
      return checkAction(props);
    default:
      return undefined;
  }
}

/** One at most: the nearest cause says it all. */
function serverBanners(props: IBannersProps, state: IChatState): IBanner[] {
  const { trans } = props;
  const action = checkAction(props);
  const error = state.statusError;
  if (error?.code === 'extension_missing') {
    return [
      {
        key: 'extension_missing',
        level: 'error',
        text: trans.__('The server part of Cellar is not running.'),
        steps: <MissingSteps trans={trans} />,
        action
      }
    ];
  }
  if (error) {
    const text =
      error.code === 'network'
        ? trans.__(
            'The Jupyter server does not answer. What you type is kept; send it when the server is back.'
          )
        : describe(trans, error);
    return [
      {
        key: error.code,
        level: 'error',
        text,
        action: helpfulAction(props, error) ?? action
      }
    ];
  }
  const server = state.status?.model_server;
  if (server?.state === 'down') {
    return [
      {
        key: 'model_down',
        level: 'error',
        text: server.address
          ? trans.__(
              'The model server does not answer at %1. What you type is kept.',
              server.address
            )
          : trans.__(
              'The model server does not answer. What you type is kept.'
            ),
        action
      }
    ];
  }
  if (server?.state === 'loading') {
    return [
      {
        key: 'model_loading',
        level: 'info',
        text: trans.__('The model is loading. This can take some minutes.'),
        action
      }
    ];
  }
  return [];
}

function MissingSteps({ trans }: { trans: TranslationBundle }): JSX.Element {
  return (
    <ol>
      <li>
        {trans.__('Install it where the Jupyter server runs:')}{' '}
        <code>pip install jupyter-cellar</code>
      </li>
      <li>
        {trans.__('See that it is enabled:')}{' '}
        <code>jupyter server extension enable cellar_jupyter</code>
      </li>
      <li>{trans.__('Restart the Jupyter server and reload this page.')}</li>
    </ol>
  );
}

function lostBanner(trans: TranslationBundle): IBanner {
  return {
    key: 'reconnecting',
    level: 'info',
    text: trans.__(
      'Reconnecting… If the server still runs, your answer goes on.'
    )
  };
}

function announcements(
  trans: TranslationBundle,
  state: IChatState,
  dismissed: ReadonlySet<string>,
  dismiss: (id: string) => void
): IBanner[] {
  return (state.status?.announcements ?? [])
    .filter(each => each.dismissible === false || !dismissed.has(said(each)))
    .map(each => ({
      key: `announcement-${each.id}`,
      level: each.level,
      text: announced(trans, each.id, each.text),
      dismiss:
        each.dismissible === false ? undefined : () => dismiss(said(each))
    }));
}

/** What was read when this was read: with another text it is shown again. */
function said(each: { id: string; text: string }): string {
  let hash = 0;
  for (const unit of each.text) {
    hash = (Math.imul(hash, 31) + (unit.codePointAt(0) ?? 0)) | 0;
  }
  return `${each.id} ${(hash >>> 0).toString(36)}`;
}

/** The server's own announcements in the user's language; an administrator's as it was written. */
function announced(trans: TranslationBundle, id: string, text: string): string {
  if (id === 'unsaved') {
    return trans.__(
      'Conversations cannot be written to disk; they are kept in memory until they can.'
    );
  }
  const [, wrong, name] =
    /^setting-(no_feature|unreadable|no_model)-(.*)$/s.exec(id) ?? [];
  if (wrong === 'no_feature') {
    return trans.__(
      'A setting of this server is wrong. c.Cellar.features: “%1” is no feature, so it locks nothing.',
      name
    );
  }
  if (wrong === 'unreadable') {
    return trans.__(
      'A setting of this server is wrong. c.Cellar.features: the entry for “%1” cannot be read, so it is switched off.',
      name
    );
  }
  if (wrong === 'no_model') {
    return trans.__(
      'A setting of this server is wrong. c.Cellar.model (CELLAR_MODEL): the model server has no “%1”; its first model is asked instead.',
      name
    );
  }
  if (id.startsWith('setting-')) {
    return trans.__('A setting of this server is wrong. %1', text);
  }
  return id.startsWith('store-')
    ? trans.__('A stored conversation cannot be used. %1', text)
    : text;
}

function noticeBanner(props: IBannersProps, state: IChatState): IBanner[] {
  const { trans, store } = props;
  return state.notice
    ? [
        {
          key: 'notice',
          level: 'error',
          text: describe(trans, state.notice),
          action: helpfulAction(props, state.notice),
          dismiss: () => store.dismissNotice()
        }
      ]
    : [];
}

/** Milliseconds between two looks at a server that is not ready. */
const LOOK = 10_000;
/** Milliseconds between two looks for what an admin has to say. */
const LISTEN = 60_000;

/** As long as the page is seen, look whether something is wrong, or still is. */
function useWatch(store: ChatStore, state: IChatState): void {
  const { status, statusError } = state;
  const wrong =
    statusError !== null ||
    status?.model_server.state !== 'up' ||
    status.announcements?.some(each => each.id === 'unsaved') === true;
  React.useEffect(() => {
    const timer = setInterval(
      () => {
        if (!document.hidden) {
          void store.refreshStatus();
        }
      },
      wrong ? LOOK : LISTEN
    );
    return () => clearInterval(timer);
  }, [store, wrong]);
}

function useLost(since: number | null): boolean {
  const [lost, setLost] = React.useState(false);
  React.useEffect(() => {
    if (since === null) {
      setLost(false);
      return;
    }
    const wait = Math.max(0, since + PATIENCE - performance.now());
    const timer = setTimeout(() => setLost(true), wait);
    return () => clearTimeout(timer);
  }, [since]);
  return lost;
}

/** Which announcements were read, kept by this browser. */
function useDismissed(
  scope: string
): [ReadonlySet<string>, (id: string) => void] {
  const key = `cellar:read:${scope}`;
  const [dismissed, setDismissed] = React.useState<ReadonlySet<string>>(() => {
    try {
      const ids: unknown = JSON.parse(window.localStorage.getItem(key) ?? '[]');
      return new Set(Array.isArray(ids) ? ids.map(String) : []);
    } catch {
      return new Set();
    }
  });
  const dismiss = (id: string): void => {
    const next = new Set(dismissed).add(id);
    setDismissed(next);
    try {
      window.localStorage.setItem(key, JSON.stringify([...next].slice(-100)));
    } catch {
      // forbidden or full: it comes back with the next page
    }
  };
  return [dismissed, dismiss];
}
