# Ruby's oauth2 as a client of Evergrant.
require 'json'
require 'net/http'
require 'oauth2'

ORDER = JSON.parse(ARGV[0])

# The person goes through the pages and says yes; gives the address that the browser ends at.
def visit(url)
  Net::HTTP.get(URI("#{ORDER['browser']}?#{URI.encode_www_form(url: url)}"))
end

client = OAuth2::Client.new(
  ORDER['client_id'], ORDER['client_secret'],
  site: ORDER['site'], authorize_url: '/oauth/authorize', token_url: '/oauth/token'
)
back = URI(visit(client.auth_code.authorize_url(redirect_uri: ORDER['redirect_uri'], state: 's')))
code = URI.decode_www_form(back.query).to_h['code']
token = client.auth_code.get_token(code, redirect_uri: ORDER['redirect_uri'])
again = token.refresh!
own = client.client_credentials.get_token
revoked = client.request(:post, '/oauth/revoke', body: {
  token: token.refresh_token, client_id: ORDER['client_id'], client_secret: ORDER['client_secret']
})
after = begin
  token.refresh!
  'no error'
rescue OAuth2::Error => e
  e.code
end
puts JSON.generate(
  code: token.token, refresh: again.token, same: token.refresh_token == again.refresh_token,
  credentials: own.token, revoked: revoked.status, after: after
)
