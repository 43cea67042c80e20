// Two phones of other makers behind one face, for tests that drive a page from outside: whoever looks reads
// `events`, `calls` and `texts`; nothing here waits or decides but to answer a call.

import JsSIP from 'jssip';
import * as SIP from 'sip.js';

const AUDIO = { audio: true, video: false };

// One way for media is enough, and all that an old ICE implementation at the other end can do: that over IPv4.
function withoutIpv6(sdp) {
	return sdp.replace(/^a=candidate:\S+ \d+ \w+ \d+ [0-9a-f]*:.*\r\n/gmi, '');
}

const modifiers = {
	sessionDescriptionHandlerModifiers: [
		description => Promise.resolve({ type: description.type, sdp: withoutIpv6(description.sdp) }),
	],
};

class Phone {
	constructor({ user, domain, password, server }) {
		this.aor = `sip:${user}@${domain}`;
		this.user = user;
		this.domain = domain;
		this.password = password;
		this.server = server;
		this.events = [];
		this.texts = [];
		this.calls = [];        // {state, why, connection}
	}

	say(event, more = '') {
		this.events.push(more === '' ? event : `${event} ${more}`);
	}

	uri(user) {
		return `sip:${user}@${this.domain}`;
	}

	// The newest call.
	get last() {
		return this.calls[this.calls.length - 1];
	}

	// What the media of the newest call came to: packets both ways, how it is encrypted.
	async media() {
		const connection = this.last && this.last.connection();
		const seen = { received: 0, sent: 0, dtls: '', cipher: '', codec: '' };
		if (!connection)
			return seen;
		const stats = await connection.getStats();
		stats.forEach(row => {
			if (row.type === 'inbound-rtp') {
				seen.received += row.packetsReceived;
				seen.codec = (stats.get(row.codecId) || {}).mimeType || '';
			}
			if (row.type === 'outbound-rtp')
				seen.sent += row.packetsSent;
			if (row.type === 'transport') {
				seen.dtls = row.dtlsState;
				seen.cipher = row.srtpCipher || '';
			}
		});
		return seen;
	}
}

class JsSipPhone extends Phone {
	constructor(options) {
		super(options);
		this.ua = new JsSIP.UA({
			sockets: [new JsSIP.WebSocketInterface(this.server)], uri: this.aor,
			password: this.password, register: false, register_expires: 600, session_timers: false,
			connection_recovery_min_interval: 1, connection_recovery_max_interval: 1,
		});
		this.ua.on('connected', () => this.say('connected'));
		this.ua.on('disconnected', event => this.say('disconnected', event.code ? `${event.code}` : ''));
		this.ua.on('registered', () => this.say('registered'));
		this.ua.on('unregistered', () => this.say('unregistered'));
		this.ua.on('registrationFailed', event => this.say('register-failed', event.cause));
		this.ua.on('newMessage', event => {
			if (event.originator === 'remote')
				this.texts.push(event.request.body);
		});
		this.ua.on('newRTCSession', event => this.watch(event.session, event.originator));
	}

	watch(session, originator) {
		const call = { state: 'begun', why: '', session, connection: () => session.connection };
		this.calls.push(call);
		session.on('peerconnection:setremotedescriptionfailed', error => this.say('bad-sdp', `${error}`));
		session.on('sdp', event => { event.sdp = withoutIpv6(event.sdp); });
		session.on('progress', () => { call.state = 'ringing'; });
		session.on('confirmed', () => { call.state = 'established'; });
		session.on('ended', event => { call.state = 'ended'; call.why = `${event.originator} ${event.cause}`; });
		session.on('failed', event => {
			call.state = 'failed';
			call.why = `${(event.message && event.message.status_code) || ''} ${event.cause}`.trim();
		});
		if (originator === 'remote')
			session.answer({ mediaConstraints: AUDIO, pcConfig: { iceServers: [] } });
	}

	start() { this.ua.start(); }
	register() { this.ua.register(); }
	unregister() { this.ua.unregister(); }
	stop() { this.ua.stop(); }
	hangUp() { this.last.session.terminate(); }

	call(user) {
		this.ua.call(this.uri(user), { mediaConstraints: AUDIO, pcConfig: { iceServers: [] } });
	}

	text(user, body) {
		this.ua.sendMessage(this.uri(user), body, {
			eventHandlers: {
				succeeded: () => this.say('text-taken'),
				failed: event => this.say('text-failed', event.cause),
			},
		});
	}
}

class SipJsPhone extends Phone {
	constructor(options) {
		super(options);
		this.ua = new SIP.UserAgent({
			uri: SIP.UserAgent.makeURI(this.aor), authorizationUsername: this.user,
			authorizationPassword: this.password, logLevel: 'warn',
			sipExtensionExtraSupported: ['outbound', 'path'],
			transportOptions: { server: this.server, connectionTimeout: 20 },
			sessionDescriptionHandlerFactoryOptions: {
				peerConnectionConfiguration: { iceServers: [] }, iceGatheringTimeout: 500,
			},
			delegate: {
				onConnect: () => this.say('connected'),
				onDisconnect: error => this.say('disconnected', error ? error.message : ''),
				onInvite: invitation => {
					this.watch(invitation);
					invitation.accept(modifiers).catch(error => this.say('accept-failed', error.message));
				},
				onMessage: message => {
					this.texts.push(message.request.body);
					message.accept();
				},
			},
		});
		this.registerer = new SIP.Registerer(this.ua, { expires: 600, regId: 1 });
	}

	watch(session) {
		const call = {
			state: 'begun', why: '', session,
			connection: () => session.sessionDescriptionHandler &&
				session.sessionDescriptionHandler.peerConnection,
		};
		this.calls.push(call);
		session.stateChange.addListener(state => {
			if (state === SIP.SessionState.Established)
				call.state = 'established';
			else if (state === SIP.SessionState.Terminated)
				call.state = call.state === 'established' ? 'ended' : 'failed';
		});
		session.delegate = { onBye: bye => { call.why = 'remote'; bye.accept(); } };
		return call;
	}

	start() {
		this.ua.start().catch(error => this.say('disconnected', error.message));
	}

	register() {
		this.registerer.register({ requestDelegate: {
			onAccept: () => this.say('registered'),
			onReject: response => this.say('register-failed', `${response.message.statusCode}`),
		} }).catch(error => this.say('register-failed', error.message));
	}

	unregister() {
		this.registerer.unregister({ requestDelegate: { onAccept: () => this.say('unregistered') } });
	}

	stop() { this.ua.stop(); }

	call(user) {
		const inviter = new SIP.Inviter(this.ua, SIP.UserAgent.makeURI(this.uri(user)), modifiers);
		const call = this.watch(inviter);
		inviter.invite({ requestDelegate: {
			onProgress: () => { call.state = 'ringing'; },
			onReject: response => { call.why = `${response.message.statusCode}`; },
		} }).catch(error => { call.state = 'failed'; call.why = error.message; });
	}

	hangUp() { this.last.session.bye(); }

	text(user, body) {
		new SIP.Messager(this.ua, SIP.UserAgent.makeURI(this.uri(user)), body).message({ requestDelegate: {
			onAccept: () => this.say('text-taken'),
			onReject: response => this.say('text-failed', `${response.message.statusCode}`),
		} });
	}
}

window.phone = null;
window.take = (maker, options) => {
	window.phone = maker === 'jssip' ? new JsSipPhone(options) : new SipJsPhone(options);
	window.phone.start();
};
