from tests.servers.gemini import GeminiServer

GeminiServer.main()
