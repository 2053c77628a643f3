# A fresh access token, and a call of the API with it. Asks again while Evergrant says "later" (503).
require 'json'
require 'net/http'

SERVER, KEY, GRANT = %w[SERVER API_KEY GRANT].map { |name| ENV.fetch("EVERGRANT_#{name}") }

def get(url, token)
  Net::HTTP.get_response(URI(url), 'Authorization' => "Bearer #{token}")
end

def access_token(tries = 20)
  answer = get("#{SERVER}/v1/grants/#{GRANT}/token", KEY)
  return JSON.parse(answer.body).fetch('access_token') if answer.is_a?(Net::HTTPOK)
  raise answer.body unless answer.code == '503' && tries.positive?

  sleep answer.fetch('retry-after', '1').to_i
  access_token(tries - 1)
end

puts get("#{ENV.fetch('API_URL')}/v1/current/Me", access_token).body
