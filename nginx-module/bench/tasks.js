// The two tasks of the benchmark for njs.
function hello(r) {
    r.headersOut['Content-Type'] = 'text/plain';
    r.return(200, 'hello\n');
}

function mix(hash, text) {
    for (var i = 0; i < text.length; i++) {
        hash = Math.imul(hash ^ text.charCodeAt(i), 16777619) >>> 0;
    }
    return hash;
}

var page = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.\n'.repeat(16);

function realistic(r) {
    var h = r.headersIn;
    var hash = mix(mix(mix(2166136261, h['Host'] || ''), h['User-Agent'] || ''), h['Accept'] || '');
    r.headersOut['X-Request-Hash'] = ('0000000' + hash.toString(16)).slice(-8);
    r.return(200, page);
}

export default { hello, realistic };
